# SPDX-License-Identifier: Apache-2.0
"""What durability.py, soak.py, disk_faults.py, net_faults.py, hotplug.py and cable.py share: initramfs with kernel modules,
scratch images, domains whose disks are theirs."""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = harness.TOP
MIB = 1 << 20


def fetched(*what):
    return subprocess.run([os.path.join(TOP, "tools/fetch"), *what], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def kernel():
    return fetched("generic", "vmlinuz")


def modules(*names):
    return subprocess.run([sys.executable, os.path.join(TOP, "tools/lib/modules.py"), fetched("generic", "modules"), *names],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def initrd(path, script, names, add=()):
    """An initramfs whose session is faults_guest/SCRIPT.sh, with the modules NAMES in the order of their loading."""
    command = [os.path.join(TOP, "guests/initramfs/make"), "--out", path,
               "--script", os.path.join(HERE, "faults_guest", script + ".sh")]
    for number, module in enumerate(modules(*names)):
        command += ["--add", f"{module}:modules/{number + 10}-{os.path.basename(module)}"]
    for source, name in add:
        command += ["--add", f"{source}:{name}"]
    subprocess.run(command, check=True)
    return path


def program(name):
    path = os.environ.get("PARAPET_PROGRAMS", os.path.join(harness.BUILD, "tests/integration")) + "/" + name
    if not os.path.exists(path):
        sys.exit(f"there is no {path}: build the target integration_{name} first")
    return path


def image(path, mib, ext4=False):
    with open(path, "wb") as file:
        file.truncate(mib * MIB)
    if ext4:
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", path], check=True)
    return path


def command(initramfs, extra, memory="192M", limit=600, cmdline=""):
    return [harness.PARAPET, "run", kernel(), "--initrd", initramfs, "--memory", memory, "--timeout",
            f"{int(limit * harness.options.factor)}s", *harness.home_options(),
            "--cmdline", f"console=hvc0 quiet mitigations=off {cmdline}".strip(), *extra]


@contextlib.contextmanager
def folder(base=None):
    path = tempfile.mkdtemp(prefix="parapet-faults.", dir=base or os.environ.get("PARAPET_SCRATCH", "/tmp"))
    try:
        yield path
    except harness.Failure:
        print(f"what is left of it stays in {path}", file=sys.stderr)
        raise
    except BaseException:
        shutil.rmtree(path)
        raise
    else:
        shutil.rmtree(path)
