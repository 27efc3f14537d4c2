#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input: one sentence that names the thing and the remedy, the right exit status, soon, and nothing left over."""
import os
import re
import shutil
import stat
import subprocess
import tempfile

import harness
from harness import PARAPET, Failure, Skip, check, equal, kernel, prepared, test

COMPRESSIONS = ("gzip", "bzip2", "lzma", "xz", "lz4", "lzo", "zstd")
REMEDY = re.compile(r"[;:(] ?[^;:]{4,}")  # something stands after the statement of what is wrong


def image(name):
    return prepared(os.path.join("images", name))


def hello():
    return os.path.join(harness.BUILD, "guests/hello")


def processes_of_session(session):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rsplit(")", 1)[1].split()[3] == str(session):
                    found.append(pid)
        except OSError:
            pass
    return found


def refused(arguments, status, pattern, limit=20, command=None, lines=1):
    """Runs it and holds it to all that an error has to be."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o777)
        shared = set(os.listdir("/dev/shm"))
        environment = {**os.environ, "TMPDIR": scratch, "PARAPET_KERNEL_CACHE": "off", "XDG_RUNTIME_DIR": scratch}
        whole = list(command or [PARAPET]) + list(arguments)
        process = subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   start_new_session=True, cwd=scratch, env=environment)
        try:
            out, err = process.communicate(timeout=limit * harness.options.factor)
        except subprocess.TimeoutExpired:
            harness.kill_group(process)
            raise Failure(f"not refused within {limit} s: {' '.join(whole)}") from None
        outcome = harness.Outcome(whole, process.returncode, out, err, 0, None)
        equal(processes_of_session(process.pid), [], "processes left", outcome)
        left = [os.path.join(top, name) for top, _, names in os.walk(scratch) for name in names]
        equal(left, [], "files left", outcome)
        equal(sorted(set(os.listdir("/dev/shm")) - shared), [], "shared memory left", outcome)
    equal(outcome.status, status, "exit status", outcome)
    equal(outcome.out, "", "standard output", outcome)
    said = outcome.err.splitlines()
    equal(len(said), lines, "lines on standard error", outcome)
    check(said[-1].startswith("parapet: "), "the sentence does not begin with 'parapet: '", outcome)
    check(re.search(pattern, said[-1]), f"the sentence does not match /{pattern}/", outcome)
    check(REMEDY.search(said[-1][len("parapet: "):]), "the sentence names no remedy", outcome)
    return outcome


def refused_kernel(path, pattern, *more):
    return refused(["run", path, "--memory", "128M", "--timeout", "10s", *harness.home_options(), *more], 1, pattern)


@test
def good_images_boot():
    """What the bad images differ from by one fault is good."""
    for name in COMPRESSIONS:
        outcome = harness.parapet("run", image(f"good-{name}"), "--memory", "64M", "--timeout", "30s",
                                  *harness.home_options(), stdin=None)
        equal(outcome.status, 0, f"exit status of good-{name}", outcome)
        check(outcome.out, f"good-{name} says nothing", outcome)


@test
def no_kernel_at_all():
    for name in ("text", "zeros", "noise"):
        refused_kernel(image(name), "is not a kernel")
    refused_kernel(image("empty"), "is empty")
    refused_kernel("/nowhere/vmlinuz", "'/nowhere/vmlinuz' does not exist: check")
    refused_kernel("/", "'/' is (not a file|a folder|a directory)")
    refused_kernel("/dev/null", "'/dev/null' is ")


@test
def no_pv_support():
    refused_kernel(image("bzimage-no-pv"), "is not built with CONFIG_XEN_PV")
    refused_kernel(image("elf-no-pv"), "CONFIG_XEN_PV|is not a Xen PV kernel|not a Xen PV kernel")
    refused_kernel(image("elf-arm"), "another kind of processor|not a Xen PV kernel")


@test
def kernel_of_32_bits():
    refused_kernel(kernel("grub32"), "32-bit PV kernel.*not yet supported?|32-bit PV kernel.*does not yet support")


@test
def damaged_images():
    for name in ("elf-truncated", "elf-header-only", "bzimage-header-only"):
        refused_kernel(image(name), "truncated|cut off|ends")
    refused_kernel(image("bzimage-in-bzimage"), "bzimage-in-bzimage' ")
    refused_kernel(image("bzimage-unknown"), "damaged payload|not known here")


@test
def damaged_by_compression():
    for name in COMPRESSIONS:
        refused_kernel(image(f"truncated-file-{name}"), "truncated bzImage")
        refused_kernel(image(f"truncated-data-{name}"), f"(truncated|corrupt) {name} data")
        refused_kernel(image(f"corrupt-{name}"), f"{name} data|damaged payload")
        refused_kernel(image(f"wrong-size-{name}"), f"{name} data")


@test
def damaged_stock_kernel():
    """Debian's own, cut off and damaged in its middle (not by one byte: LZ4, for one, has no checksum)."""
    with open(kernel("cloud"), "rb") as file:
        data = file.read()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vmlinuz")
        for size in (600, 20_000, len(data) // 2, len(data) - 1_000_000):
            with open(path, "wb") as file:
                file.write(data[:size])
            refused_kernel(path, "truncated|is not a kernel")
        broken = bytearray(data)
        broken[len(data) // 2:len(data) // 2 + 65536] = b"\xff" * 65536
        with open(path, "wb") as file:
            file.write(broken)
        refused_kernel(path, "corrupt")


@test
def bad_initrd():
    for path, pattern in (("/nowhere/initrd", "initrd '/nowhere/initrd' does not exist"), ("/", "initrd '/' is "),
                          (image("empty"), "initrd .* is empty")):
        refused_kernel(hello(), pattern, "--initrd", path)
        refused_kernel(hello(), pattern, "--initrd", image("text"), "--initrd", path)


@test
def memory_that_does_not_do():
    refused(["run", kernel("generic"), "--memory", "20M"], 1, "needs at least|at least [0-9]+")
    refused(["run", hello(), "--memory", "8M", "--initrd", prepared("initrd"), "--initrd", kernel("generic")], 1,
            "at least [0-9]+")
    refused(["run", hello(), "--memory", "100T"], 1, "--memory.*more than this host has")
    refused(["run", hello(), "--memory", "0"], 2, "--memory")
    refused(["run", hello(), "--memory", "1K"], 2, "--memory 1K is too little")
    refused(["run", hello(), "--memory", "99999999999999999999T"], 2, "--memory")
    refused(["run", hello(), "--memory", "lots"], 2, "--memory")


@test
def bad_words():
    """Usage errors, contradictions among them."""
    for arguments, pattern in (
            ([], "no command"),
            (["rum"], "unknown command 'rum'.*did you mean 'parapet run'"),
            (["run"], "no kernel is given"),
            (["run", hello(), "--bogus"], "unknown option '--bogus'"),
            (["run", hello(), "--memory"], "'?--memory'? needs a value"),
            (["run", hello(), "--kernel", hello()], "two kernels"),
            (["run", hello(), "--memory", "64M", "--memory", "65M"], "'--memory' is given twice"),
            (["run", hello(), "--timeout", "-3"], "--timeout"),
            (["run", hello(), "--name", "a/b"], "--name 'a/b'"),
            (["run", hello(), "--home", "ring7"], "--home 'ring7'.*ring0"),
            (["run", hello(), "--console", hello()], "--console would overwrite"),
            (["run", hello(), "--json", hello()], "--json would overwrite"),
            (["run", hello(), "--json", "fd:1"], "--json would mix"),
            (["run", hello(), "--json", "same", "--console", "same"], "--json and --console both"),
            (["run", hello(), "--json", "fd:x"], "--json 'fd:x'")):
        refused(arguments, 2, pattern)


@test
def outputs_that_cannot_be():
    refused(["run", hello(), "--console", "/nowhere/console"], 1, "/nowhere/console")
    refused(["run", hello(), "--json", "/nowhere/json"], 1, "/nowhere/json")
    refused(["run", hello(), "--json", "fd:77"], 1, "descriptor 77")


def as_root():
    if os.geteuid() != 0:
        raise Skip("only root can take /dev/kvm away")


@test
def no_kvm():
    as_root()
    hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$0" "$@"', PARAPET]
    refused(["run", hello()], 1, "no /dev/kvm: ", command=hide)


@test
def something_else_as_kvm():
    as_root()
    fake = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /dev/kvm && exec "$0" "$@"', PARAPET]
    refused(["run", hello()], 1, "/dev/kvm", command=fake)


@test
def no_right_to_kvm():
    as_root()
    if stat.S_IMODE(os.stat("/dev/kvm").st_mode) & 0o006:
        raise Skip("everyone may use /dev/kvm here")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for path in (PARAPET, hello()):
            shutil.copy(path, folder)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", os.path.join(folder, "parapet")]
        refused(["run", os.path.join(folder, "hello")], 1, "no right to use /dev/kvm: .*usermod", command=nobody)
        secret = os.path.join(folder, "secret")
        shutil.copy(hello(), secret)
        os.chmod(secret, 0o600)
        refused(["run", secret], 1, "may not be read by you", command=nobody)


@test
def memory_limit():
    """A host that gives the process no memory for the guest."""
    limited = ["prlimit", f"--as={200 << 20}", PARAPET]
    refused(["run", hello(), "--memory", "512M"], 1, "memory|MiB", command=limited)


@test
def disc_full():
    """Statistics that cannot be written are an error, however well the guest ended."""
    outcome = harness.parapet("run", hello(), "--memory", "64M", "--timeout", "30s", "--json", "/dev/full",
                              *harness.home_options(), stdin=None)
    equal(outcome.status, 1, "exit status", outcome)
    check("/dev/full" in outcome.err, "the sentence does not name /dev/full", outcome)


harness.main()
