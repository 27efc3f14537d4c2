# SPDX-License-Identifier: Apache-2.0
"""A whole Debian machine from a disk image: boot from the disk alone, ssh, a package, an orderly end, a clean disk."""
import os
import re
import shutil
import sys
import tempfile

import harness
from harness import Failure, check, equal, test

sys.path.insert(0, os.path.join(harness.TOP, "tools/lib"))
import debian_machine  # noqa: E402

PATIENCE = 300


def fields():
    """What tools/debian-image has made: prepared beforehand, so that no network is needed for that here."""
    script = os.path.join(harness.TOP, "tools/debian-image")
    outcome = harness.run([script], limit=600)
    equal(outcome.status, 0, "tools/debian-image", outcome)
    return dict(line.split(" ", 1) for line in outcome.out.splitlines())


class Run:
    """A machine on a private copy of the image."""

    def __init__(self, extra=(), **keywords):
        self.made = fields()
        self.folder = tempfile.mkdtemp(prefix="parapet-debian-test-")
        self.image = os.path.join(self.folder, "root.img")
        copied = harness.run(["cp", "--reflink=auto", "--sparse=always", self.made["image"], self.image], limit=300)
        equal(copied.status, 0, "cp", copied)
        os.chmod(self.image, 0o600)
        self.machine = debian_machine.Machine(harness.PARAPET, self.image, self.made["key"], self.made["hosts"],
                                              limit=int(4 * PATIENCE * harness.options.factor),
                                              extra=[*harness.home_options(), *extra], **keywords)

    def __enter__(self):
        try:
            self.machine.start()
            self.machine.wait_for_ssh(PATIENCE * harness.options.factor)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.machine.destroy()
        shutil.rmtree(self.folder)

    def ssh(self, script, **keywords):
        return self.machine.ssh(script, limit=PATIENCE * harness.options.factor, **keywords).strip()

    def power_off(self):
        self.ssh("systemctl poweroff --no-block", check=False)
        equal(self.machine.wait_for_end(PATIENCE * harness.options.factor), 0, "exit status of parapet")
        status, text = debian_machine.check_file_system(self.image)
        equal(status, 0, f"e2fsck -fn:\n{text}")


def of_machine(function):
    """Trouble of the machine is a failure of the test."""
    def run():
        try:
            return function()
        except debian_machine.Trouble as trouble:
            raise Failure(str(trouble)) from None
    run.__name__ = function.__name__
    return test(run)


@of_machine
def login_and_orderly_end():
    with Run() as run:
        seconds = run.machine.seconds()
        check(re.search("^ID=debian$", run.ssh("cat /etc/os-release"), re.MULTILINE), "it is no Debian")
        check("xen" in run.ssh("systemd-detect-virt", check=False), "systemd does not see Xen")
        equal(run.ssh("systemctl is-system-running --wait; systemctl --failed --no-legend"), "running", "systemd's state")
        cmdline = run.ssh("cat /proc/cmdline")
        check(cmdline.startswith("root=UUID=") and "console=hvc0" in cmdline, f"the command line is {cmdline}")
        check(run.ssh("findmnt -no SOURCE /").startswith("/dev/xvda"), "the root is not on xvda")
        equal(run.ssh("dmesg --level=emerg,alert,crit,err | grep -E 'xvda|blkfront|netfront|EXT4' || true"), "",
              "errors of the devices")
        run.power_off()
    return f"login after {seconds:.1f} s"


@of_machine
def package_from_the_mirror():
    with Run() as run:
        run.ssh("apt-get -q update")
        run.ssh("DEBIAN_FRONTEND=noninteractive apt-get -q -y install hello")
        equal(run.ssh("hello"), "Hello, world!", "what the package says")
        run.ssh("dpkg --verify hello")
        run.power_off()


@of_machine
def writes_survive_a_reboot():
    with Run() as run:
        run.ssh("dd if=/dev/urandom of=/root/data bs=1M count=64 conv=fsync 2>/dev/null; sha256sum /root/data >/root/sum; sync")
        boot_id = run.machine.boot_id()
        run.ssh("systemctl reboot --no-block", check=False)
        run.machine.wait_for_reboot(boot_id, PATIENCE * harness.options.factor)
        equal(run.ssh("sha256sum -c /root/sum"), "/root/data: OK", "the data after the reboot")
        run.power_off()


@of_machine
def pv_grub_finds_the_disk():
    """GRUB as the domain's kernel: its own blkfront reads the menu, the kernel and the ramdisk, and starts them."""
    with Run(extra=["--kernel", harness.kernel("grub64")], append="") as run:
        with open(run.machine.console, "rb") as file:
            check(b"Loading initial ramdisk" in file.read(), "GRUB said nothing of what it loads")
        cmdline = run.ssh("cat /proc/cmdline")
        check("root=UUID=" in cmdline and "console=hvc0" in cmdline, f"the command line is {cmdline}")
        run.power_off()


@of_machine
def boot_entry_and_command_line():
    made = fields()
    outcome = harness.parapet("run", "--disk", f"{made['image']},raw,xvda,r", "--boot-entry", "nothing of that name")
    equal(outcome.status, 1, "exit status", outcome)
    check("there is no boot entry 'nothing of that name'; there are: 0 'Debian GNU/Linux'" in outcome.err,
          "the sentence about a wrong entry", outcome)
    with Run(append="mitigations=off parapet.test=appended") as run:
        check(run.ssh("cat /proc/cmdline").endswith("parapet.test=appended"), "--append did not reach the guest")
        run.power_off()


if __name__ == "__main__":
    harness.main()
