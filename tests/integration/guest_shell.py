# SPDX-License-Identifier: Apache-2.0
"""A Linux guest with a shell that a test orders about while it breaks the guest's devices (faults_guest/shell.sh)."""
import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

import faults_lib as lib
import harness
from harness import PARAPET, check, equal, wait_until

PATTERN = (b"a pattern that the host knows\n" * 40000)[:lib.MIB]
PASST_GUEST, PASST_HOST = "10.0.2.15", "10.0.2.2"  # of passt where there is no route
RUN = tempfile.mkdtemp(prefix="parapet-faults-run-")
atexit.register(shutil.rmtree, RUN, True)
os.environ["PARAPET_RUN"] = RUN


def in_namespaces(*flags):
    """This program once more, in namespaces of its own where root may make them: no mount or interface is left behind."""
    if os.geteuid() == 0 and "PARAPET_NAMESPACES" not in os.environ:
        shutil.rmtree(RUN, True)
        os.environ["PARAPET_NAMESPACES"] = "own"
        os.environ.pop("PARAPET_RUN")
        can = subprocess.run(["unshare", *flags, "true"], check=False, capture_output=True).returncode == 0
        if can:
            os.execvp("unshare", ["unshare", *flags, sys.executable, "-B", *sys.argv])
        os.environ["PARAPET_NAMESPACES"] = "none"
        os.execv(sys.executable, [sys.executable, "-B", *sys.argv])


def namespaces():
    """Skips the test where there are none."""
    if os.environ.get("PARAPET_NAMESPACES") != "own":
        raise harness.Skip("no namespaces can be made here")


class Guest(harness.Conversation):
    """Booted, its shell ready. What the process says on standard error goes to a file."""

    def __init__(self, name, extra=(), modules=("xen-blkfront", "xen-netfront"), programs=(), adapt=lambda words: words, **popen):
        self.name, self.number, self.stopped = name, 0, False
        self.folder = tempfile.mkdtemp(prefix="parapet-faults.", dir=os.environ.get("PARAPET_SCRATCH", "/tmp"))
        self.log_path = self.folder + "/log"
        initrd = lib.initrd(self.folder + "/initrd", "shell", modules, [(lib.program(name), "bin/" + name) for name in programs])
        words = lib.command(initrd, ["--name", name, *extra], cmdline="panic=-1")
        with open(self.log_path, "wb") as log:
            super().__init__(adapt(words), stderr=log, **popen)

    def __enter__(self):
        self.expect(b"shell: ready")
        self.descriptors = self.open_descriptors()
        return self

    def __exit__(self, *what):
        super().__exit__(*what)
        shutil.rmtree(self.folder, True)

    def outcome(self, status="none", err=b""):
        return super().outcome(status, self.log().encode() + err)

    def log(self):
        """What the process has said, without the guest's part."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def run(self, line, limit=60):
        """In the guest: (status, what it printed)."""
        self.number += 1
        start = len(self.out)
        self.send(f"{self.number} {line}\n".encode())
        last = re.compile(rb"shell: %d done (\d+)\r?\n" % self.number)
        while not last.search(self.out, start):
            self.expect(b"\n", limit)
        found = last.search(self.out, start)
        return int(found.group(1)), harness.text_of(self.out[start:found.start()])

    def does(self, line, limit=60):
        """Must succeed; -> what it printed."""
        status, said = self.run(line, limit)
        check(status == 0, f"'{line}' in the guest: status {status}, {said!r}", self)
        return said.strip()

    def fails(self, line, word="", limit=60):
        status, said = self.run(line, limit)
        check(status != 0, f"'{line}' in the guest succeeded", self)
        check(word in said, f"'{line}' in the guest said {said!r} without {word!r}", self)

    def later(self, name, line):
        self.does(f"later {name} {line}")

    def done(self, name):
        """The status of what was begun by later(); None: not yet."""
        said = self.run(f"cat /tmp/{name} 2>/dev/null")[1].strip()
        return int(said) if said else None

    def ends(self, name, status=0, limit=60):
        wait_until(lambda: self.done(name) is not None,
                   lambda: f"'{name}' in the guest: not in time; blocked tasks:\n{self.blocked_tasks()}" + self.describe(), limit)
        equal(self.done(name), status, f"status of '{name}' in the guest", self)

    def blocked_tasks(self):
        """What the guest's kernel says of tasks that wait for a disk."""
        return self.run("echo w >/proc/sysrq-trigger; dmesg | tail -n 60")[1]

    def waits(self, name, seconds=2):
        """It is still not done after that time."""
        time.sleep(seconds)
        check(self.done(name) is None, f"'{name}' in the guest did not wait, but ended with {self.done(name)}", self)

    def describe(self):
        return self.outcome(self.process.poll() if self.process.poll() is not None else "none").describe()

    def says(self, word, since="", limit=30):
        """The log gets it, after what it was."""
        wait_until(lambda: word in self.log()[len(since):], lambda: f"the log does not say '{word}'" + self.describe(), limit)

    def open_descriptors(self):
        folder = f"/proc/{self.process.pid}/fd"
        return sorted(os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder))

    def threads_and_children(self):
        return [line for line in subprocess.run(["ps", "-e", "-o", "ppid=,comm="], capture_output=True, text=True,
                                                check=True).stdout.splitlines() if line.split()[0] == str(self.process.pid)]

    def attach(self, kind, spec, **run):
        outcome = harness.run([PARAPET, "attach", self.name, kind, spec], **run)
        equal((outcome.status, outcome.err), (0, ""), f"what attach {spec} said", outcome)
        return outcome.out.strip()

    def detach(self, device, *more, **run):
        outcome = harness.run([PARAPET, "detach", self.name, device, *more], **run)
        check((outcome.status, outcome.err) == (0, ""), f"what detach {device} said", _Both(outcome, self))

    def refused(self, *words, sentence):
        """`parapet WORDS` does nothing but say one sentence, and the domain lives on."""
        outcome = harness.run([PARAPET, *words])
        equal((outcome.status, outcome.out), (1, ""), f"what {words} said", outcome)
        check(sentence in outcome.err and len(outcome.err.splitlines()) == 1, f"no sentence with '{sentence}'", outcome)
        check(self.process.poll() is None, "the domain died of it", self)

    def interface_up(self, address, device="eth0"):
        self.does(f"device /sys/class/net/{device} && ip addr add {address}/24 dev {device} && ip link set {device} up")

    @contextlib.contextmanager
    def disk(self, spec, device="xvdb"):
        """A disk that comes and goes while the guest runs."""
        name = self.attach("disk", spec)
        equal(name, device, "the name of what was attached", self)
        self.does(f"device /dev/{device}")
        try:
            yield device
            self.detach(device)
            self.does(f"gone /dev/{device}")
        except BaseException:
            discard()  # the next test gets a guest without a broken disk
            raise

    def devices(self):
        outcome = harness.run([PARAPET, "list", "--json"])
        equal((outcome.status, outcome.err), (0, ""), "what list said", outcome)
        mine = next(entry for entry in json.loads(outcome.out) if entry["name"] == self.name)
        return {device["name"]: device for device in mine["devices"]}

    def finish_well(self):
        """Nothing has leaked, and it ends when it is told to, whatever hangs in it."""
        check(self.process.poll() is None, "the domain has died", self)
        wait_until(lambda: len(self.open_descriptors()) <= len(self.descriptors), lambda: "descriptors were left open: " + str(
            [fd for fd in self.open_descriptors() if fd not in self.descriptors]), 10)
        self.send(b"0 poweroff -f\n")
        outcome = self.finish()
        equal(outcome.status, 0, "status of the domain", self)
        return outcome


class _Both:
    def __init__(self, *outcomes):
        self.outcomes = outcomes

    def describe(self):
        return "".join(outcome.describe() for outcome in self.outcomes)


_shared = []


def shared(**how):
    """One guest for all tests of a file; a new one where it has gone."""
    if _shared and _shared[0].process.poll() is not None:
        _shared.pop().__exit__(None, None, None)
    if not _shared:
        guest = Guest("faults", **how)
        _shared.append(guest)
        try:
            guest.__enter__()
        except BaseException:
            discard()
            raise
    return _shared[0]


def discard():
    while _shared:
        _shared.pop().__exit__(None, None, None)


atexit.register(discard)


def end_of_shared():
    """The last test of such a file: the guest has lived through all of it and ends in order."""
    guest = shared()
    outcome = guest.finish_well()
    discard()
    return outcome


@contextlib.contextmanager
def server(address):
    """Says the pattern to whoever connects."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(PATTERN)

    with socketserver.ThreadingTCPServer((address, 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            yield serving.server_address[1]
        finally:
            serving.shutdown()
            thread.join()


def spec(target, on_error="report", vdev="xvdb"):
    """Of a raw image, or a URI."""
    form = "" if "://" in target else "format=raw,"
    return f"vdev={vdev},on-error={on_error},{form}target={target}"


def holds(image, *places):
    """The file has the pattern at these MiB."""
    with open(image, "rb") as file:
        for mib in places:
            file.seek(mib * lib.MIB)
            check(file.read(lib.MIB) == PATTERN, f"{image} does not hold what the guest wrote at {mib} MiB")


def let_look():
    """The size of an image is looked at once a second."""
    time.sleep(1.2)


def kill(process):
    """A server of the test's own, without a chance to say goodbye."""
    process.send_signal(signal.SIGKILL)
    process.wait()
