#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Domains commanded by name: list, console, shutdown, reboot, destroy, mem-set, the background, names and what is left."""
import functools
import json
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

import harness
from harness import PARAPET, Conversation, Skip, check, domain_command, equal, parapet, test
from terminal import Terminal

FOLDER = tempfile.mkdtemp(prefix="parapet-control-")  # mode 0700
os.environ["PARAPET_RUN"] = FOLDER
MIB = 1 << 20
wait_until = functools.partial(harness.wait_until, limit=60)


def listed():
    """The running domains by name."""
    outcome = parapet("list", "--json")
    equal((outcome.status, outcome.err), (0, ""), "status and standard error of list", outcome)
    return {entry["name"]: entry for entry in json.loads(outcome.out)}


def history(name):
    outcome = parapet("console", name, "--history")
    equal(outcome.status, 0, "status of console --history", outcome)
    return outcome.out


def nothing_left():
    equal(os.listdir(FOLDER), [], "files left in the runtime folder")


def ended(pid):
    """Its last thread has gone, and with it its files: the first may be a zombie long before."""
    try:
        if len(os.listdir(f"/proc/{pid}/task")) > 1:
            return False
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Background:
    """A domain in the background, ready for orders; gone at the end in any case."""

    def __init__(self, name, script="orders", extra=(), ready="orders: ready", **keywords):
        self.name = name
        begin = time.monotonic()
        command = domain_command(script, extra=["--detach", "--name", name, *extra], **keywords)
        outcome = harness.run(command, limit=60)
        equal((outcome.status, outcome.out, outcome.err), (0, name + "\n", ""), "what run --detach said", outcome)
        self.seconds = time.monotonic() - begin
        self.pid = listed()[name]["pid"]
        wait_until(lambda: ready in history(name), f"'{ready}' on the console of {name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.name in listed():
            parapet("destroy", self.name)
        wait_until(lambda: ended(self.pid), f"the end of process {self.pid}")
        for name in os.listdir(FOLDER):
            os.unlink(os.path.join(FOLDER, name))


@test
def in_the_background():
    with Background("web") as guest:
        check(guest.seconds < 20 * harness.options.factor, f"run --detach took {guest.seconds:.0f} s")
        entry = listed()["web"]
        equal((entry["state"], entry["vcpus"], entry["reboots"], entry["memory"]["maximum_bytes"]),
              ("running", 1, 0, 256 * MIB), "what list says")
        check(entry["uptime_s"] > 0, "no time passed")
        table = parapet("list").out
        check(re.search(rf"^web +{guest.pid} +\d+ +running +256M +256M +1 +0:00:\d\d +-$", table, re.M), table)
        with open(f"/proc/{guest.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        check(fields[3] != fields[0] and int(fields[4]) == 0, "it leads a session, or has a terminal")
        for number, want in ((0, "/dev/null"), (1, "/dev/null"), (2, "pipe:")):
            target = os.readlink(f"/proc/{guest.pid}/fd/{number}")
            check(target.startswith(want), f"descriptor {number} is {target}")
        equal(os.readlink(f"/proc/{guest.pid}/cwd"), "/", "its working folder")
        equal(stat.S_IMODE(os.stat(os.path.join(FOLDER, "web.sock")).st_mode), 0o600, "mode of the socket")
        outcome = parapet("shutdown", "web", "--wait", "--timeout", "60s")
        equal((outcome.status, outcome.out, outcome.err), (0, "", ""), "what shutdown said", outcome)
        equal(listed(), {}, "domains that run")
        nothing_left()
    return f"run --detach returned after {guest.seconds:.1f} s"


def processes_of(pid):
    """The domain's process and the one that sweeps up behind it."""
    found = [pid]
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{other}/stat", encoding="utf-8") as file:
                if int(file.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(other))
        except OSError:
            pass  # it has ended
    return found


def check_confined(pid, own_namespace):
    """All threads: no capabilities, no new privileges, a filter; no core file, no files in sight."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            if name != "CapBnd" or own_namespace:
                equal(int(status[name], 16), 0, f"{name} of thread {task} ({status['Name']}) of process {pid}")
        equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), f"NoNewPrivs and Seccomp of {status['Name']}")
    with open(f"/proc/{pid}/limits", encoding="utf-8") as file:
        check(re.search(r"^Max core file size +0 +0 ", file.read(), re.M), f"process {pid} may leave a core file")
    equal(os.stat(f"/proc/{pid}/stat").st_uid, 0, f"process {pid} is dumpable: the owner of its files in /proc")
    if own_namespace:
        equal(os.listdir(f"/proc/{pid}/root/"), [], f"what process {pid} sees of the host's files")
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
            equal(len(file.readlines()), 1, f"mounts that process {pid} sees")


@test
def processes_are_confined():
    """Those of a domain that root started; the rig lets it make a mount namespace."""
    if os.geteuid() != 0:
        raise Skip("takes root")
    own_namespace = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    check(own_namespace or not harness.in_rig(), "the rig's kernel lets root make no mount namespace")
    with Background("web") as guest:
        processes = processes_of(guest.pid)
        equal(len(processes), 2, "processes of the domain")
        for pid in processes:
            check_confined(pid, own_namespace)
        equal(parapet("reboot", "web").status, 0, "status of reboot")
        wait_until(lambda: history("web").count("orders: ready") == 2, "the second start, without any path")
        check_confined(guest.pid, own_namespace)


@test
def processes_of_an_ordinary_user_are_confined():
    """In a user namespace of their own, where the kernel lets them; and their user and root may command them there."""
    if os.geteuid() != 0:
        raise Skip("takes root, to be somebody else")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    probe = subprocess.run([*nobody, "unshare", "-Um", "true"], stderr=subprocess.DEVNULL, check=False)
    own_namespace = probe.returncode == 0
    mode = stat.S_IMODE(os.stat("/dev/kvm").st_mode)
    with tempfile.TemporaryDirectory(prefix="parapet-nobody-") as folder:
        os.chown(folder, 65534, 65534)
        os.chmod("/dev/kvm", 0o666)
        environment = dict(os.environ, PARAPET_RUN=folder, PARAPET_KERNEL_CACHE="off", HOME=folder)
        run = functools.partial(subprocess.run, env=environment, capture_output=True, text=True, check=False,
                                timeout=120 * harness.options.factor)
        try:
            command = domain_command("orders", extra=["--detach", "--name", "web"])
            outcome = run([*nobody, *command])
            equal((outcome.returncode, outcome.stdout), (0, "web\n"), f"what run --detach said: {outcome.stderr}")
            entry = json.loads(run([*nobody, PARAPET, "list", "--json"]).stdout)[0]
            processes = processes_of(entry["pid"])
            equal(len(processes), 2, "processes of the domain")
            for pid in processes:
                check_confined(pid, own_namespace)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(os.path.join(folder, "web.sock"))  # as root
                client.settimeout(20 * harness.options.factor)
                question = b'{"version": 1, "request": "info"}'
                client.sendall(struct.pack("<Ic3x", len(question), b"J") + question)
                check(client.recv(1) != b"", "root is not let in")
        finally:
            run([*nobody, PARAPET, "destroy", "web"])
            os.chmod("/dev/kvm", mode)
        wait_until(lambda: os.listdir(folder) == [], "files left in the runtime folder")


@test
def background_that_fails():
    """Errors before the guest runs are the command's; those later are in the log."""
    outcome = parapet("run", "/no/such/kernel", "--detach")
    equal(outcome.status, 1, "status", outcome)
    check(re.fullmatch(r"parapet: kernel '/no/such/kernel' does not exist.*\n", outcome.err), "the sentence", outcome)
    nothing_left()
    outcome = parapet("run", os.path.join(harness.prepared("images"), "corrupt-gzip"), "--detach")
    equal((outcome.status, outcome.out), (1, ""), "status and standard output with a bad image", outcome)
    equal(len(outcome.err.splitlines()), 1, "sentences", outcome)
    nothing_left()
    with Background("web") as guest:
        viewer = subprocess.Popen([PARAPET, "console", "web"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        out, err = viewer.communicate(b"panic\n", timeout=60 * harness.options.factor)
        equal(viewer.returncode, 0, "the viewer's status")
        check(b"panic" in out and b"'web' ended: crashed" in err, f"the viewer saw {out[-500:]!r} and {err!r}")
        wait_until(lambda: ended(guest.pid), "the end of the process")
        wait_until(lambda: os.listdir(FOLDER) == ["web.log"], "only the log stays")
        with open(os.path.join(FOLDER, "web.log"), encoding="utf-8", errors="replace") as file:
            check("crash" in file.read(), "the log does not say why")


@test
def console_to_a_file_too():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "console")
        with Background("web", extra=["--console", path]):
            with open(path, encoding="utf-8", errors="replace") as file:
                check("orders: ready" in file.read(), "the file lacks what the guest said")


@test
def reboot():
    """By name; name, process, console and its viewers stay."""
    with Background("web") as guest:
        viewer = subprocess.Popen([PARAPET, "console", "web"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        try:
            equal(parapet("reboot", "web").status, 0, "status of reboot")
            wait_until(lambda: history("web").count("orders: ready") == 2, "the second start")
            entry = listed()["web"]
            equal((entry["reboots"], entry["pid"], entry["state"]), (1, guest.pid, "running"), "what list says")
            equal(parapet("destroy", "web").status, 0, "status of destroy")
            out, _ = viewer.communicate(timeout=30 * harness.options.factor)
            equal(out.count(b"orders: ready"), 2, "starts that the viewer saw")
        finally:
            viewer.kill()


@test
def destroy():
    """In the foreground: status 137 and one sentence; nothing is left."""
    with Conversation(domain_command("orders", extra=["--name", "web"])) as guest:
        guest.expect(b"orders: ready")
        equal(parapet("destroy", "web").status, 0, "status of destroy")
        outcome = guest.finish()
    equal(outcome.status, 137, "status of run", outcome)
    equal([line for line in outcome.err.splitlines() if line.startswith("parapet:")],
          ["parapet: domain 'web' was destroyed"], "sentences", outcome)
    nothing_left()


@test
def memory():
    """The balloon driver gives memory back and takes it again."""
    with Background("web"):
        for size in (160, 256, 200):
            outcome = parapet("mem-set", "web", f"{size}M", "--wait", "--timeout", "60s")
            equal((outcome.status, outcome.err), (0, ""), f"what mem-set {size} said", outcome)
            equal(listed()["web"]["memory"], {"now_bytes": size * MIB, "target_bytes": size * MIB,
                                              "maximum_bytes": 256 * MIB}, "what list says")
        for size, part in (("257M", "at most 256M"), ("1M", "at least 32M")):
            outcome = parapet("mem-set", "web", size)
            equal(outcome.status, 1, "status", outcome)
            check(part in outcome.err, f"the sentence lacks '{part}'", outcome)


@test
def guest_that_does_not_heed():
    """It is said so, and destroy works."""
    with Background("web", script="orders", cmdline="initcall_blacklist=shutdown_watcher", ready="orders: ready"):
        for verb in ("shutdown", "reboot"):
            outcome = parapet(verb, "web")
            if outcome.status == 0:
                raise Skip("this kernel's shutdown watcher cannot be left out")
            equal(outcome.status, 1, f"status of {verb}", outcome)
            check("does not heed" in outcome.err and "parapet destroy web" in outcome.err, "the sentence", outcome)


@test
def console_again_and_again():
    """On a terminal: what was said before, what is typed, Ctrl-]; the terminal is as it was."""
    with Background("web") as guest:
        for number in range(5):
            terminal = Terminal([PARAPET, "console", "web"])
            terminal.expect(b"orders: ready")
            for before in range(number):
                terminal.expect(b"orders: sleep 0.%d" % before)
            os.write(terminal.master, b"sleep 0.%d\r" % number)
            terminal.expect(b"orders: sleep 0.%d" % number)
            os.write(terminal.master, b"\x1d")
            outcome = terminal.finish()
            equal(outcome.status, 0, "status of console", outcome)
            check("Ctrl-] leaves" in outcome.err, "the hint", outcome)
        check(not ended(guest.pid), "the domain ended with its viewer")


@test
def beside_the_foreground():
    """A domain with its console on standard output and input has viewers as well."""
    with Conversation(domain_command("orders", extra=["--name", "web"])) as guest:
        guest.expect(b"orders: ready")
        terminal = Terminal([PARAPET, "console", "web"])
        terminal.expect(b"orders: ready")
        os.write(terminal.master, b"sleep 0.1\r")
        guest.expect(b"orders: sleep 0.1")
        guest.send(b"poweroff\n")
        equal(guest.finish().status, 0, "status of run")
        outcome = terminal.finish()
        equal(outcome.status, 0, "status of console", outcome)
        check("ended: powered-off" in outcome.err, "the last word", outcome)


@test
def viewers_that_hang_or_die():
    """The guest's flood goes on, and a good viewer sees its end."""
    command = domain_command("flood", cmdline="parapet.bytes=4000000", extra=["--detach", "--name", "web"])
    equal(harness.run(command).status, 0, "status of run")
    viewers = [subprocess.Popen([PARAPET, "console", "web"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL) for _ in range(3)]
    good, stopped, killed = viewers
    try:
        wait_until(lambda: "flood: begin" in history("web"), "the flood")
        stopped.send_signal(signal.SIGSTOP)
        killed.kill()
        out = good.communicate(timeout=120 * harness.options.factor)[0]
        check(b"flood: end" in out, f"the good viewer did not see the end, but {out[-300:]!r}")
        wait_until(lambda: listed() == {}, "the domain's end")
    finally:
        for viewer in viewers:
            viewer.kill()
            viewer.wait()
            viewer.stdout.close()
    nothing_left()


@test
def names():
    """One domain for each name; a name that was not asked for gives way."""
    with Background("web"):
        outcome = harness.run(domain_command("boot", extra=["--name", "web"]))
        equal(outcome.status, 1, "status of the second", outcome)
        check(re.fullmatch(r"parapet: a domain named 'web' runs already: .*\n", outcome.err), "the sentence", outcome)
        kernel = os.path.basename(harness.kernel("cloud"))
        for want in (kernel, kernel + "-2"):
            outcome = harness.run(domain_command("orders", extra=["--detach"]))
            equal((outcome.status, outcome.out), (0, want + "\n"), "status and name", outcome)
        equal(set(listed()), {"web", kernel, kernel + "-2"}, "domains that run")
        for name in (kernel, kernel + "-2"):
            equal(parapet("destroy", name).status, 0, "status of destroy")
    for verb in ("console", "shutdown", "reboot", "destroy"):
        outcome = parapet(verb, "web")
        equal(outcome.status, 1, f"status of {verb}", outcome)
        check(re.fullmatch(r"parapet: no domain named 'web' runs: .*\n", outcome.err), "the sentence", outcome)


def sweeper_of(pid):
    """The process that holds the domain's lock and is not the domain's."""
    lock = os.path.join(FOLDER, "web.lock")
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{other}/fd/{fd}") for fd in os.listdir(f"/proc/{other}/fd")]
        except OSError:
            continue
        if lock in links and int(other) != pid:
            return int(other)
    raise harness.Failure("there is no sweeper")


@test
def killed():
    """kill -9: the sweeper removes what is left; without it, the next of that name does."""
    with Background("web") as guest:
        os.kill(guest.pid, signal.SIGKILL)
        wait_until(lambda: [n for n in os.listdir(FOLDER) if n != "web.log"] == [], "the sweeper's work")
        equal(listed(), {}, "domains that run")
    with Background("web") as guest:
        os.kill(sweeper_of(guest.pid), signal.SIGKILL)
        os.kill(guest.pid, signal.SIGKILL)
        wait_until(lambda: ended(guest.pid), "the end of the process")
        check("web.sock" in os.listdir(FOLDER), "who removed the socket?")
        equal(listed(), {}, "domains that run")
        equal(parapet("destroy", "web").status, 1, "status of destroy")
    with Background("web"):
        equal(list(listed()), ["web"], "domains that run")


@test
def ordinary_user():
    """Nobody's domain, by nobody's own rights; and who else may command it."""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        os.chmod(folder, 0o755)
        kvm = harness.kvm_for_all(folder)
        for path in (PARAPET, harness.kernel("cloud"), harness.prepared("initrd")):
            shutil.copy(path, folder)
        os.mkdir(os.path.join(folder, "run"), 0o700)
        os.chown(os.path.join(folder, "run"), 65534, 65534)
        script = f"""set -e
            cd {folder}
            parapet=./{os.path.basename(PARAPET)}
            test "$(id -u)" = 65534
            $parapet run ./{os.path.basename(harness.kernel('cloud'))} --initrd ./initrd --memory 256M --timeout 100s \
                --cmdline 'console=hvc0 quiet mitigations=off parapet.test=orders' --detach --name nobodys
            test "$(stat -c %u:%a run/nobodys.sock)" = 65534:600
            until $parapet console nobodys --history | grep 'orders: ready'; do sleep 0.1; done
            $parapet list
            $parapet shutdown nobodys --wait --timeout 60s
            test -z "$(ls run)" """
        nobody = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /dev/kvm && exec "$@"', kvm,
                  "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i", "PATH=" + os.environ["PATH"],
                  f"PARAPET_RUN={folder}/run", "sh", "-c", script]
        outcome = harness.run(nobody, limit=150)
        if "mount" in outcome.err and outcome.status != 0 and "parapet" not in outcome.err:
            raise Skip("no mount namespace can be made here")
        equal(outcome.status, 0, "status", outcome)
        check("nobodys" in outcome.out, "the list", outcome)


@test
def wrong_users_are_turned_away():
    """Others do not get at the socket; who gets there all the same is not served."""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    with Background("web"):
        os.chmod(FOLDER, 0o755)
        path = os.path.join(FOLDER, "web.sock")
        talk = ("import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect('%s'); "
                "s.sendall(b'\\x21\\0\\0\\0J\\0\\0\\0{\"version\": 1, \"request\": \"info\"}'); print(s.recv(1))" % path)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", harness.PYTHON, "-c", talk]
        check("PermissionError" in harness.run(nobody).err, "nobody could connect")
        os.chmod(path, 0o666)
        outcome = harness.run(nobody)
        check(outcome.out == "b''\n" or "Reset" in outcome.err or "BrokenPipe" in outcome.err,
              "nobody was served", outcome)
        check("b'" in harness.run([harness.PYTHON, "-c", talk]).out, "we are not served")
        os.chmod(FOLDER, 0o700)


try:
    harness.main()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
    sys.stdout.flush()
