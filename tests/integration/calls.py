#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sandbox against what a run really calls, by strace: `parapet doctor --sandbox` lists no call that neither a run
makes nor UNSEEN explains, and a run makes none that is not listed. So the list follows the code, and shrinks with it."""
import collections
import json
import os
import re
import shutil
import subprocess
import tempfile

import harness
from harness import PARAPET, Skip, check, domain_command, equal, parapet, test

# Listed, but the run below does not make it (always), and why it stays all the same.
UNSEEN = {
    "domain": {
        "read": "a console's input", "writev": "a C++ stream with much to write", "lseek": "length_of(), streams",
        "poll": "the last words of the log and to clients", "pipe": "the C library may use it for pipe2",
        "nanosleep": "the sweeper's end", "clock_nanosleep": "the same by another C library",
        "sched_yield": "locks", "restart_syscall": "after being stopped", "mremap": "realloc()",
        "sched_getaffinity": "the C library asks for processors", "gettid": "abort()", "tgkill": "stopping vCPUs",
        "geteuid": "a cable that is attached", "clock_gettime": "where the vdso cannot", "time": "the same",
        "gettimeofday": "the same", "getrandom": "a UUID where the processor has no random numbers",
        "memfd_create": "a reboot where guest memory is a file", "ftruncate": "the same",
        "fallocate": "the same, and disks that are attached", "fstatfs": "disks that are attached", "fstat": "the same",
        "sched_getscheduler": "under much I/O", "sched_setscheduler": "the same", "brk": "where the heap grows",
        "munmap": "the same", "rt_sigreturn": "after a signal", "wait4": "the sweeper's end",
        "getpid": "io_uring", "io_uring_register": "where I/O registers memory", "preadv": "reading a kernel",
    },
    "sweeper": {"write": "the log of a domain in the background", "rt_sigreturn": "after a signal",
                "restart_syscall": "after being stopped"},
}
UNSEEN_REQUESTS = {"KVM_GET_REGS": "a domain's crash"}
# Made and refused, which does no harm.
REFUSED = {"clone3": "the C library then uses clone", "readlink": "the cache of kernels, at a reboot",
           "newfstatat": "streams of the C library", "openat": "the cache of kernels, at a reboot"}


class Trace:
    """Of strace -f: what the processes call once they have their filter."""

    def __init__(self, path):
        self.calls = collections.defaultdict(set)
        self.refused = collections.defaultdict(set)
        self.requests = set()
        self.process, self.cloning, self.role, self.filtered = {}, {}, {}, set()
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                self.take(line.rstrip())

    def take(self, line):
        found = re.match(r"(\d+) +(<\.\.\. )?(\w+)(?: resumed>|\()(.*)", line)
        if not found:
            return
        thread, resumed, name, rest = int(found[1]), found[2], found[3], found[4]
        process = self.process.get(thread, thread)
        if name in ("clone", "clone3", "fork", "vfork"):
            whole = self.cloning.pop(thread, "") + rest
            made = re.search(r"= (\d+)$", whole)
            if made:
                self.process[int(made[1])] = process if "CLONE_THREAD" in whole else int(made[1])
            elif "unfinished" in whole:
                self.cloning[thread] = whole
        if name == "prctl" and "parapet-sweeper" in rest:
            self.role[process] = "sweeper"
        if name == "seccomp" and "SECCOMP_SET_MODE_FILTER" in rest and "NULL" not in rest:
            if "TSYNC" in rest:
                self.role[process] = "domain"
            self.filtered.add(process)
            return
        if name == "seccomp" and resumed:
            return  # the end of the same call, on a line of its own
        role = self.role.get(process)
        if process not in self.filtered or role is None:
            return
        if rest.endswith("(Operation not permitted)") or name == "clone3":
            self.refused[role].add(name)
        elif not resumed and "<unfinished" not in rest or resumed:
            self.calls[role].add(name)
        if name == "ioctl":
            self.requests.update(re.findall(r"KVM_[A-Z0-9_]+", rest)[:1])


def filters():
    outcome = parapet("doctor", "--sandbox", "--json")
    equal((outcome.status, outcome.err), (0, ""), "status and standard error of doctor --sandbox", outcome)
    return {entry["process"]: entry for entry in json.loads(outcome.out)}


@test
def the_list_is_for_people_too():
    outcome = parapet("doctor", "--sandbox")
    equal((outcome.status, outcome.err), (0, ""), "status and standard error", outcome)
    for process, entry in filters().items():
        check(f"{process}\n" in outcome.out, f"{process} is not in the report", outcome)
        equal(entry["others"], "refused" if entry["allowed"] else "allowed", f"other calls of {process}")
    check(max(map(len, outcome.out.splitlines())) <= 100, "a line is too long", outcome)
    equal(parapet("doctor", "--sandbox").out, outcome.out, "the report, a second time")


def run_a_domain(log, folder):
    """Disk, network, console, balloon, attaching and detaching, reboot and shutdown of one domain under strace."""
    for name in ("disk", "more"):
        with open(os.path.join(folder, name), "wb") as file:
            file.truncate(64 << 20)
    console = os.path.join(folder, "console")
    command = domain_command("orders", extra=[
        "--name", "web", "--disk", os.path.join(folder, "disk"), "--vif", "socket=" + os.path.join(folder, "cable"),
        "--console", console])

    def starts():
        if not os.path.exists(console):
            return 0
        with open(console, encoding="utf-8", errors="replace") as file:
            return file.read().count("orders: ready")

    with subprocess.Popen(["strace", "-f", "-qq", "-o", log, *command], stderr=subprocess.PIPE, text=True) as traced:
        try:
            harness.wait_until(lambda: starts() == 1, "the first start", 120)
            for words in (("list",), ("console", "web", "--history"), ("mem-set", "web", "200M", "--wait"),
                          ("mem-set", "web", "256M", "--wait"),
                          ("attach", "web", "disk", os.path.join(folder, "more") + ",vdev=xvdb"),
                          ("detach", "web", "xvdb", "--force"), ("reboot", "web")):
                outcome = parapet(*words)
                equal(outcome.status, 0, f"status of {words[0]}", outcome)
            harness.wait_until(lambda: starts() == 2, "the second start", 120)
            equal(parapet("shutdown", "web", "--wait").status, 0, "status of shutdown")
            equal(traced.wait(60 * harness.options.factor), 0, "status of run")
        finally:
            parapet("destroy", "web")
            traced.kill()


@test
def a_run_and_the_list_agree():
    if shutil.which("strace") is None:
        raise Skip("takes strace")
    with tempfile.TemporaryDirectory(prefix="parapet-calls-") as folder:
        os.environ["PARAPET_RUN"] = os.path.join(folder, "run")
        os.mkdir(os.environ["PARAPET_RUN"], 0o700)
        log = os.path.join(folder, "trace")
        run_a_domain(log, folder)
        trace = Trace(log)
    listed = filters()
    for role, unseen in UNSEEN.items():
        allowed = set(listed[role]["allowed"])
        made = trace.calls[role]
        check(len(made) >= 4, f"the trace shows hardly any calls of the {role}: {made}")
        equal(sorted(made - allowed), [], f"calls that the {role} makes and the list lacks")
        equal(sorted(allowed - made - set(unseen)), [], f"calls on the list that the {role} does not make")
        equal(sorted(set(unseen) - allowed), [], f"calls in UNSEEN that are not on the {role}'s list")
        equal(sorted(trace.refused[role] - set(REFUSED)), [], f"calls that the {role} makes in vain")
    requests = {word.split(" ")[0] for word in listed["domain"]["allowed"]["ioctl"] if word.startswith("KVM_")}
    equal(sorted(trace.requests - requests), [], "requests to KVM that the list lacks")
    equal(sorted(requests - trace.requests - set(UNSEEN_REQUESTS)), [], "requests on the list that nobody makes")
    return f"{len(trace.calls['domain'])} different calls, {len(trace.requests)} requests to KVM"


harness.main()
