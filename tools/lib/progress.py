# SPDX-License-Identifier: Apache-2.0
"""Shows how far a long command is: reads what it says on stdin, keeps it in --log, says on stderr where it stands.

On a terminal one line that changes in place; otherwise a plain line for each new phase and each tenth of the way.
Understands what mmdebstrap --verbose, apt and dpkg print; every other line only keeps the clock going.
"""
import argparse
import re
import select
import os
import sys
import time

# How much of the way lies behind when a phase of mmdebstrap begins; within the last, packages are counted.
PHASES = [("running apt-get update", "asking the mirror for its lists", 0),
          ("downloading packages", "downloading the base system", 5),
          ("extracting archives", "unpacking the base system", 10),
          ("installing essential packages", "setting up the base system", 15),
          ("installing remaining packages", "installing packages", 25),
          ("running --customize-hook", "writing the configuration", 95),
          ("cleaning package lists", "cleaning up", 96),
          ("creating tarball", "packing", 97)]
STEPS = [(re.compile(r"^Get:\d+ "), "downloading"), (re.compile(r"^Unpacking "), "unpacking"),
         (re.compile(r"^Setting up "), "setting up")]
FIRST, LAST = 25, 95


class Progress:
    def __init__(self, what):
        self.what, self.begin = what, time.monotonic()
        self.percent, self.text, self.packages, self.steps = 0, "starting", 0, 0
        self.phase, self.said = None, (None, -1)
        self.live = sys.stderr.isatty()

    def take(self, line):
        for words, text, percent in PHASES:
            if line.startswith("I: " + words):
                self.text, self.percent, self.packages, self.steps = text, max(percent, self.percent), 0, 0
                self.phase = words
        if found := re.match(r"^\d+ upgraded, (\d+) newly installed", line):
            self.packages, self.steps = int(found.group(1)), 0
        for pattern, text in STEPS:
            if self.packages and pattern.match(line) and self.percent >= FIRST:
                self.steps += 1
                self.text = f"{text} package {self.steps // len(STEPS)} of {self.packages}"
                share = min(1, self.steps / (len(STEPS) * self.packages))
                self.percent = max(self.percent, int(FIRST + share * (LAST - FIRST)))

    def show(self, end=False):
        seconds = int(time.monotonic() - self.begin)
        if self.live:
            bar = "#" * (self.percent // 5)
            tail = "\n" if end else ""
            sys.stderr.write(f"\r\033[K{self.what}: [{bar:20}] {self.percent:3} %  {self.text} ({seconds} s){tail}")
            sys.stderr.flush()
        elif end or (self.phase, self.percent // 10) != self.said:
            self.said = (self.phase, self.percent // 10)
            print(f"{self.what}: {self.percent} %, {self.text} ({seconds} s)", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", required=True, help="where everything that was read is kept")
    parser.add_argument("what", help="the name of the work")
    arguments = parser.parse_args()
    progress, rest = Progress(arguments.what), b""
    with open(arguments.log, "wb") as log:
        while True:
            if select.select([0], [], [], 1)[0]:
                data = os.read(0, 65536)
                if not data:
                    break
                log.write(data)
                *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
                for line in lines:
                    progress.take(line.decode("utf-8", "replace"))
            progress.show()
    progress.text, progress.percent = "read to its end", max(progress.percent, 98)
    progress.show(end=progress.live)


if __name__ == "__main__":
    main()
