# SPDX-License-Identifier: Apache-2.0
"""parapet on a terminal, for tests of its console."""
import fcntl
import os
import pty
import select
import subprocess
import termios
import time

import harness


class Terminal:
    """parapet on a terminal of its own."""

    def __init__(self, command):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.out = b""
        self.begin = time.monotonic()

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE,
                                        preexec_fn=take_terminal)

    def expect(self, word, limit=120):
        """Reads until `word`, given as bytes, has come."""
        end = time.monotonic() + limit * harness.options.factor
        while word not in self.out:
            ready = select.select([self.master], [], [], max(0, end - time.monotonic()))[0]
            harness.check(ready, f"{word!r} did not come", harness.Outcome(self.process.args, "none", self.out, b"", 0, None))
            self.out += os.read(self.master, 65536)

    def finish(self, limit=30):
        end = time.monotonic() + limit * harness.options.factor
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                self.out += os.read(self.master, 65536)
        hung = self.process.poll() is None
        if hung:
            self.process.kill()
        _, err = self.process.communicate()
        outcome = harness.Outcome(self.process.args, self.process.returncode, self.out, err,
                                  time.monotonic() - self.begin, None)
        harness.check(not hung, "parapet does not end", outcome)
        harness.equal(termios.tcgetattr(self.slave), self.before, "the terminal's settings afterwards", outcome)
        os.close(self.master)
        os.close(self.slave)
        return outcome
