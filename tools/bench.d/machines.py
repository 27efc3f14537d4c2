# SPDX-License-Identifier: Apache-2.0
"""Guests that the benchmarks run side by side, as a domain of parapet and under QEMU, followed line by line, with what
their processes cost the host: processor time by thread, and system calls."""
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

TICK = os.sysconf("SC_CLK_TCK")
CMDLINE = "quiet mitigations=off panic=-1"
SESSION_END = "parapet-init: session ended with"
SYSCALLS = {0: "read", 1: "write", 7: "poll", 16: "ioctl", 20: "writev", 202: "futex", 232: "epoll_wait",
            271: "ppoll", 281: "epoll_pwait", 426: "io_uring_enter"}


@dataclass
class Guest:
    """What both ways have in common."""
    kernel: str
    initrd: str
    memory: int = 512
    cmdline: str = ""
    limit: int = 300


def parapet_command(build, home, guest, json_file, devices):
    return [build + "/tools/parapet/parapet", "run", "--no-reboot", "--timeout", f"{guest.limit}s", "--json", json_file,
            "--home", home, "--memory", f"{guest.memory}M", "--kernel", guest.kernel, "--initrd", guest.initrd,
            "--cmdline", f"console=hvc0 {CMDLINE} {guest.cmdline}", *devices]


def qemu_command(guest, devices):
    return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-name", "bench,debug-threads=on", "-M", "pc", "-accel", "kvm", "-cpu", "host", "-m", str(guest.memory),
            "-kernel", guest.kernel, "-initrd", guest.initrd, "-append", f"console=ttyS0 {CMDLINE} {guest.cmdline}",
            *devices]


@dataclass
class Cost:
    """Seconds of processor time: all of it, and the guest's own part in it. threads: seconds by thread name."""
    total: float = 0
    guest: float = 0
    threads: dict = field(default_factory=dict)

    def since(self, before):
        return Cost(self.total - before.total, self.guest - before.guest,
                    {name: value - before.threads.get(name, 0) for name, value in self.threads.items()})


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def cost_of(pid):
    # Ended threads are in the process's numbers; those of single threads are finer and tell who worked.
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    cost = Cost((int(fields[11]) + int(fields[12])) / TICK, int(fields[40]) / TICK)
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            name = read(f"/proc/{pid}/task/{thread}/comm").strip()
            ns = int(read(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
        except OSError:
            continue  # ended meanwhile
        cost.threads[name] = cost.threads.get(name, 0) + ns / 1e9
    return cost


class SystemCalls:
    """Counts the system calls of a process by the kernel's own tracing; `works` says whether we may."""
    ROOT = "/sys/kernel/tracing"
    EVENT = ROOT + "/events/raw_syscalls/sys_enter"
    KEYS = "hist:keys=common_pid,id:size=8192"

    def __init__(self):
        if os.geteuid() == 0 and os.path.isdir(self.ROOT) and not os.path.exists(self.EVENT):
            subprocess.run(["mount", "-t", "tracefs", "tracefs", self.ROOT], check=False, capture_output=True)
        self.works = os.access(self.EVENT + "/trigger", os.W_OK)

    def _trigger(self, text):
        with open(self.EVENT + "/trigger", "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        if self.works:
            try:
                self._trigger(self.KEYS)
            except OSError:
                self.works = False

    def stop(self, pid):
        """-> {name: count} of all threads of the process; None where it cannot be counted."""
        if not self.works:
            return None
        threads, found = {int(thread) for thread in os.listdir(f"/proc/{pid}/task")}, {}
        for line in read(self.EVENT + "/hist").splitlines():
            match = re.match(r"\{ common_pid: +(\d+), id: +(\d+) \} hitcount: +(\d+)", line)
            if match and int(match[1]) in threads:
                name = SYSCALLS.get(int(match[2]), match[2])
                found[name] = found.get(name, 0) + int(match[3])
        self._trigger("!" + self.KEYS)
        return found


class Running:
    """A guest's process; its console's lines come as they are said."""

    def __init__(self, command, limit):
        self.command, self.deadline = command, time.monotonic() + limit + 30
        self.errors = tempfile.TemporaryFile()
        self.start = time.monotonic()
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors)
        self.console = ""

    @property
    def pid(self):
        return self.process.pid

    def fail(self, what):
        self.process.kill()
        self.errors.seek(0)
        sys.exit(f"bench: {what}: {' '.join(self.command)}\n{self.console[-4000:]}\n"
                 f"{self.errors.read().decode(errors='replace')[-2000:]}")

    def _read(self, selector):
        """What the console says next, None at its end."""
        if time.monotonic() > self.deadline or not selector.select(self.deadline - time.monotonic()):
            self.fail("not done in time")
        data = os.read(self.process.stdout.fileno(), 65536)
        self.console += data.decode(errors="replace").replace("\r", "")
        return data.replace(b"\r", b"") if data else None

    def _selector(self):
        selector = selectors.DefaultSelector()
        selector.register(self.process.stdout, selectors.EVENT_READ)
        return selector

    def until(self, pattern):
        """Seconds from the start until the console has said what matches; the end of the process is a failure."""
        said = b""
        with self._selector() as selector:
            while not pattern.search(said):
                data = self._read(selector)
                if data is None:
                    self.fail(f"ended with status {self.process.wait(10)} before its console said what it should")
                said = (said + data)[-4096:]
        return time.monotonic() - self.start

    def lines(self):
        """Each line of the console, the last one in full; then the process has ended well."""
        rest = b""
        with self._selector() as selector:
            while (data := self._read(selector)) is not None:
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    text = line.decode(errors="replace")
                    if "failed: " in text or "soft lockup" in text:
                        self.fail("the guest says that it failed")
                    yield text
        if self.process.wait(30) != 0:
            self.fail(f"status {self.process.returncode}")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def measure(command, limit, program, unit, to_the_end=False):
    """measure_once; a guest that stops short gets another chance: emulated ones hang now and then."""
    try:
        return measure_once(command, limit, program, unit, to_the_end)
    except SystemExit as failure:
        print(f"{failure}\nbench: once more", file=sys.stderr, flush=True)
        return measure_once(command, limit, program, unit, to_the_end)


def measure_once(command, limit, program, unit, to_the_end):
    """Runs a guest whose `program` says "begin NAME" and "end NAME <unit> N ns N"; -> {name: {...}}. What is named count-*
    has its system calls counted, and no times taken. to_the_end: lets it power off, else it is killed when its session is over."""
    running, found, before, calls = Running(command, limit), {}, None, SystemCalls()
    pattern = re.compile(rf"{program}: (?:begin (\S+)|end (\S+) {unit} (\d+) ns (\d+))")
    try:
        for line in running.lines():
            if SESSION_END in line:
                if not line.rstrip().endswith(" 0"):
                    running.fail("the guest's session failed")
                if not to_the_end:
                    break
            match = pattern.search(line)
            if not match:
                continue
            if match[1]:
                if match[1].startswith("count-"):
                    calls.start()
                else:
                    before = cost_of(running.pid)
                continue
            name, done, ns = match[2], int(match[3]), int(match[4])
            if name.startswith("count-"):
                found[name] = {unit: done, "syscalls": calls.stop(running.pid)}
                continue
            cost = cost_of(running.pid).since(before)
            found[name] = {unit: done, "per_s": done * 1e9 / ns, "cpu_s": cost.total / done,
                           "cpu_host_s": (cost.total - cost.guest) / done,
                           "threads_s": {thread: value / done for thread, value in cost.threads.items()}}
    finally:
        running.end()
    if not found:
        running.fail("the guest measured nothing")
    return found
