# SPDX-License-Identifier: Apache-2.0
"""The session of `tools/demo debian`: boots the image, logs in by ssh, looks round, installs a package, shuts down."""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import debian_machine  # noqa: E402

LOOK_ROUND = [("who it is", ". /etc/os-release; echo \"$PRETTY_NAME, Linux $(uname -r), $(systemd-detect-virt)\""),
              ("its state", "systemctl is-system-running --wait; systemctl --failed --no-legend"),
              ("its disk", "findmnt -no SOURCE,FSTYPE,SIZE,AVAIL /"),
              ("its network", "ip -br address show scope global; ip route show default"),
              ("its memory", "free -m | sed -n 2p")]


class Steps:
    """What is being done: one live line on a terminal, else plain lines."""

    def __init__(self):
        self.begin, self.live, self.text, self.said = time.monotonic(), sys.stderr.isatty(), "", 0

    def show(self, text):
        self.text = text
        self.said = time.monotonic()
        self.print(text + " ...")

    def print(self, text):
        line = f"[{time.monotonic() - self.begin:5.1f} s] {text}"
        if self.live:
            width = os.get_terminal_size(2).columns
            sys.stderr.write("\r\033[K" + line[:width - 1])
            sys.stderr.flush()
        else:
            print(line, file=sys.stderr, flush=True)

    def tick(self, machine):
        if self.live or time.monotonic() - self.said > 15:
            self.said = time.monotonic()
            self.print(f"{self.text} ... {machine.last_line()[:90]}")

    def result(self, text):
        if self.live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
        print(text, flush=True)


def apt_line(text):
    return next((line for line in text.splitlines() if line.startswith("Fetched")), "")


def session(machine, arguments, steps):
    steps.show(f"booting {os.path.basename(arguments.image)}: kernel and command line out of its own grub.cfg")
    machine.start()
    machine.wait_for_ssh(arguments.patience, steps.tick)
    booted = machine.seconds()
    steps.result(f"logged in over ssh, port {machine.port} of this host, after {booted:.1f} s")
    for what, script in LOOK_ROUND:
        steps.show("asking for " + what)
        steps.result(f"  {what}: " + "; ".join(machine.ssh(script, arguments.patience, check=False).split("\n")).strip("; "))
    steps.show("fetching the mirror's lists (apt-get update)")
    update = machine.ssh("apt-get -q update", arguments.patience)
    steps.show("installing the package 'hello'")
    machine.ssh("DEBIAN_FRONTEND=noninteractive apt-get -q -y install hello", arguments.patience)
    steps.result(f"  a package from the mirror: {machine.ssh('hello').strip()}  ({apt_line(update)})")
    steps.show("shutting down")
    began = time.monotonic()
    machine.ssh("systemctl poweroff --no-block", check=False)
    status = machine.wait_for_end(arguments.patience)
    if status != 0:
        raise machine.trouble(f"the machine did not power off in order (status {status})")
    steps.result(f"powered off in order after {time.monotonic() - began:.1f} s")
    status, text = debian_machine.check_file_system(arguments.image)
    if status != 0:
        raise debian_machine.Trouble(f"its file system is damaged:\n{text}")
    steps.result(f"its file system is clean: {text.strip().splitlines()[-1]}")
    return booted


def summarise(machine, arguments, booted):
    with open(machine.statistics, encoding="utf-8") as file:
        statistics = json.load(file)
    domain = statistics["domain"]
    rows = [("domain", f"{statistics['name']}, {statistics['memory_bytes'] >> 20} MiB, booted from {arguments.image}"),
            ("where", arguments.where), ("substrate", f"{domain.get('substrate')}, nucleus in {domain.get('home')}"),
            ("to a login", f"{booted:.1f} s"), ("in all", f"{statistics['seconds']:.1f} s"),
            ("vmm's own memory", f"{domain.get('memory_overhead_bytes', 0) / (1 << 20):.1f} MiB")]
    print("\n" + "\n".join(f"  {name:17} {value}" for name, value in rows), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("parapet", "image", "key", "hosts"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--where", default="on this machine's /dev/kvm")
    parser.add_argument("--patience", type=int, default=300, help="seconds for each step")
    arguments = parser.parse_args()
    steps = Steps()
    machine = debian_machine.Machine(arguments.parapet, arguments.image, arguments.key, arguments.hosts, arguments.memory,
                                     limit=4 * arguments.patience)
    with machine:
        try:
            booted = session(machine, arguments, steps)
            summarise(machine, arguments, booted)
        except debian_machine.Trouble as trouble:
            steps.result("")
            sys.exit(f"tools/demo: {trouble}")


if __name__ == "__main__":
    main()
