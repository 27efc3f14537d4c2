# SPDX-License-Identifier: Apache-2.0
"""Disks that are attached to a running Linux guest and detached again, in order, by force, in use; a driver that is
loaded anew."""
import os
import subprocess
import time

import faults_lib as lib
import guest_shell
import harness
from guest_shell import PATTERN, holds, let_look, spec
from harness import PARAPET, check, equal, test

MIB = lib.MIB


def shared():
    return guest_shell.shared(modules=("crc32c_generic", "ext4", "xen-blkfront", "xen-netfront"), programs=("xs",))


@test
def comes_and_goes():
    """Attached, written, detached; three times, the last time read-only."""
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        for mib in (2, 3):
            with guest.disk(spec(image)):
                equal(guest.does("cat /sys/block/xvdb/size"), str(16 * MIB // 512), "sectors that the guest sees", guest)
                equal(guest.devices()["xvdb"]["state"], "connected", "what list says", guest)
                guest.does(f"put xvdb {mib}; get xvdb {mib}")
                check(subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 4k", image], check=False,
                                     capture_output=True).returncode != 0, "QEMU could use the image meanwhile")
            equal(guest.devices(), {}, "devices after detach", guest)
            holds(image, mib)
        with guest.disk(spec(image).replace("vdev", "access=ro,vdev", 1)):
            equal(guest.does("cat /sys/block/xvdb/ro"), "1", "read-only", guest)
            guest.does("get xvdb 3")
            guest.fails("put xvdb 2")
        with open(image, "rb+") as file:
            file.write(PATTERN)
        # Without a name it gets the first that is free.
        with guest.disk(image, "xvda"):
            guest.does("get xvda 0")


@test
def grows():
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        with guest.disk(spec(image)):
            os.truncate(image, 32 * MIB)
            let_look()
            guest.run("get xvdb 0")  # the size is looked at when there are requests
            guest.does("try grep -q 65536 /sys/block/xvdb/size && put xvdb 31")
            holds(image, 31)


@test
def refusals():
    """One sentence each, and the disk that is there works on."""
    with lib.folder() as folder:
        image, other, guest = lib.image(folder + "/disk", 16), lib.image(folder + "/other", 16), shared()
        with guest.disk(spec(image)):
            guest.refused("attach", "faults", "disk", spec(image, vdev="xvdc"), sentence="in use")
            guest.refused("attach", "faults", "disk", spec(other), sentence="has a device 'xvdb' already")
            guest.refused("attach", "faults", "disk", spec(folder + "/none", vdev="xvdc"), sentence="/none")
            guest.refused("attach", "nobody", "disk", spec(other, vdev="xvdc"), sentence="no domain named 'nobody'")
            guest.refused("detach", "faults", "xvdc", sentence="xvdc")
            guest.does("put xvdb 1; get xvdb 1")
        with guest.disk(spec(other)):  # a refusal has kept no lock
            guest.does("put xvdb 1")


@test
def detached_while_mounted():
    """Linux lets go of a disk at once, also of a mounted one: its file system gets errors. What was synced is there."""
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 32, ext4=True), shared()
        with guest.disk(spec(image)):
            guest.does("mount -t ext4 /dev/xvdb /mnt && cp /tmp/pattern /mnt/kept && sync")
            guest.later("writer", "sh -c 'while cat /tmp/pattern >/mnt/more && sync; do :; done'")
            guest.detach("xvdb")
            guest.ends("writer")
            guest.does("umount -l /mnt")
            guest.attach("disk", spec(image))
            guest.does("device /dev/xvdb && mount -t ext4 /dev/xvdb /mnt && cmp /mnt/kept /tmp/pattern && umount /mnt")


@test
def frontend_that_holds_on():
    """The guest does not answer: a time-out with a sentence; --force does without it."""
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        guest.attach("disk", spec(image))
        number = 202 << 8 | 1 << 4
        guest.does("device /dev/xvdb")
        unload(guest)
        guest.does(f"xs write device/vbd/{number}/state 4")
        outcome = harness.run([PARAPET, "detach", "faults", "xvdb", "--timeout", "1s"])
        equal(outcome.status, 124, "status", outcome)
        check("has not let go of 'xvdb'" in outcome.err and "--force" in outcome.err, "the sentence", outcome)
        equal(guest.devices()["xvdb"]["state"], "detaching", "what list says", guest)
        guest.detach("xvdb", "--force")
        guest.does("insmod /modules/*xen-blkfront*")
        with guest.disk(spec(image)):
            guest.does("put xvdb 1; get xvdb 1")


def unload(guest):
    guest.does("echo vbd-51728 >/sys/bus/xen/drivers/vbd/unbind && gone /dev/xvdb && rmmod xen_blkfront")


def reboot(guest):
    guest.send(b"0 reboot -f\n")
    guest.expect(b"shell: ready")


@test
def reboots_instead_of_letting_go():
    """What was to be detached when the guest reboots is detached by that; what was not comes back with it."""
    with lib.folder() as folder:
        image, other, guest = lib.image(folder + "/disk", 16), lib.image(folder + "/other", 16), shared()
        guest.attach("disk", spec(image))
        guest.attach("disk", spec(other, vdev="xvdc"))
        guest.does("device /dev/xvdb && put xvdb 1")
        guest.does("echo vbd-51744 >/sys/bus/xen/drivers/vbd/unbind && gone /dev/xvdc")
        unload(guest)
        guest.does("xs write device/vbd/51728/state 4")
        with subprocess.Popen([PARAPET, "detach", "faults", "xvdb", "--timeout", "60s"], stderr=subprocess.PIPE) as waiting:
            harness.wait_until(lambda: guest.devices()["xvdb"]["state"] == "detaching", "the detach")
            check(waiting.poll() is None, "the detach did not wait for the guest", guest)
            reboot(guest)
            equal((waiting.wait(20 * harness.options.factor), waiting.stderr.read()), (0, b""), "what detach said", guest)
        equal(sorted(guest.devices()), ["xvdc"], "devices after the reboot", guest)
        guest.does("device /dev/xvdc && put xvdc 1 && ! [ -e /dev/xvdb ]")
        with guest.disk(spec(image)):  # it is free for others, and the name too
            guest.does("get xvdb 1")
        guest.detach("xvdc")


@test
def detached_while_it_reboots():
    """At any moment of it: done or refused with a sentence, and what it said is so."""
    outcomes = {"done": 0, "refused": 0}
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        for step in range(9):
            guest.attach("disk", spec(image))
            guest.does("device /dev/xvdb && put xvdb 1")
            if step % 2 == 0:
                guest.send(b"0 reboot -f\n")
                time.sleep(step * 0.02 * harness.options.factor)
            command = [PARAPET, "detach", "faults", "xvdb", *(["--force"] if step % 3 == 2 else []), "--timeout", "60s"]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as detaching:
                if step % 2 == 1:
                    time.sleep(step * 0.01 * harness.options.factor)
                    guest.send(b"0 reboot -f\n")
                guest.expect(b"shell: ready")
                status, said = detaching.wait(60 * harness.options.factor), detaching.stderr.read()
            if status == 0:
                equal(said, "", "what detach said", guest)
                outcomes["done"] += 1
            else:
                equal(status, 1, f"status of a detach that said {said!r}", guest)
                check("try again" in said and len(said.splitlines()) == 1, f"detach said {said!r}", guest)
                equal(guest.devices()["xvdb"]["state"], "connected", "what list says", guest)
                guest.does("device /dev/xvdb && get xvdb 1")
                guest.detach("xvdb")
                outcomes["refused"] += 1
            equal(guest.devices(), {}, "devices", guest)
            guest.does("gone /dev/xvdb")
    return f"{outcomes['done']} done, {outcomes['refused']} refused"


@test
def driver_unloaded_and_loaded():
    """Linux unloads no driver that has a device, and binds no blkfront anew to a device that it has closed: what was
    unbound is detached and attached again; the driver may come later than the device."""
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        guest.attach("disk", spec(image))
        guest.does("device /dev/xvdb && put xvdb 1")
        for mib in (2, 3):
            unload(guest)
            equal(guest.devices()["xvdb"]["state"], "closed", "what list says", guest)
            guest.detach("xvdb")
            guest.does("gone /sys/bus/xen/devices/vbd-51728")  # a guest that sees both at once takes them for nothing
            guest.attach("disk", spec(image))
            guest.does("insmod /modules/*xen-blkfront* && device /dev/xvdb")
            guest.does(f"get xvdb 1 && put xvdb {mib} && get xvdb {mib}")
            equal(guest.devices()["xvdb"]["state"], "connected", "what list says", guest)
        guest.detach("xvdb")
        holds(image, 1, 2, 3)


@test
def all_is_well():
    """What the guest went through has left nothing behind."""
    guest_shell.end_of_shared()


if __name__ == "__main__":
    harness.main()
