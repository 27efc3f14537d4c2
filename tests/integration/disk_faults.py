# SPDX-License-Identifier: Apache-2.0
"""Disks that fail under a running guest: full, truncated, removed. With on-error=report the guest sees an I/O error, with
wait it waits and goes on when the fault is gone; the log says so and the domain lives on."""
import os
import subprocess

import faults_lib as lib
import harness
from harness import check, test

MIB = lib.MIB


def initramfs(folder):
    return lib.initrd(folder + "/initrd", "faults", ["xen-blkfront"])


class Domain(harness.Conversation):
    def __init__(self, folder, image, on_error):
        super().__init__(lib.command(initramfs(folder), ["--disk", f"vdev=xvdb,on-error={on_error},format=raw,target={image}"]))

    def end(self, *words):
        """It is still alive, ends when it is asked to, and its log has the words."""
        check(self.process.poll() is None, "the domain died", self.outcome())
        self.process.terminate()
        _, err = self.process.communicate(timeout=60 * harness.options.factor)
        text = harness.text_of(err)
        check(self.process.returncode in (0, 143), f"it ended with {self.process.returncode}", self.outcome(err=err))
        for word in words:
            check(word in text, f"the log does not say '{word}'", self.outcome(err=err))
        return " / ".join(line for line in text.splitlines() if "xvdb" in line)[:300]


def silent(domain, seconds):
    """What the guest says in that time."""
    harness.time.sleep(seconds)
    os.set_blocking(domain.process.stdout.fileno(), False)
    said = domain.process.stdout.read() or b""
    os.set_blocking(domain.process.stdout.fileno(), True)
    domain.out += said
    return said


@test
def truncated_reports_and_grows_back():
    with lib.folder() as folder:
        image = lib.image(folder + "/disk", 16)
        with Domain(folder, image, "report") as domain:
            domain.expect(b"faults: read well")
            os.truncate(image, 4 * MIB)
            domain.expect(b"faults: write error")
            domain.expect(b"faults: read error")
            check(os.path.getsize(image) == 4 * MIB, "the guest's writes brought back the end of a truncated file")
            os.truncate(image, 16 * MIB)
            domain.expect(b"faults: write well")
            return domain.end()


@test
def truncated_waits():
    with lib.folder() as folder:
        image = lib.image(folder + "/disk", 16)
        with Domain(folder, image, "wait") as domain:
            domain.expect(b"faults: read well")
            os.truncate(image, 4 * MIB)
            silent(domain, 3)
            said = silent(domain, 3)
            check(b"error" not in domain.out and b"well" not in said, "the guest did not wait", domain.outcome())
            os.truncate(image, 16 * MIB)
            domain.expect(b"faults: write well")
            domain.expect(b"faults: read well")
            check(b"error" not in domain.out, "the guest saw an error", domain.outcome())
            return domain.end()


@test
def removed_goes_on():
    with lib.folder() as folder:
        image = lib.image(folder + "/disk", 16)
        with Domain(folder, image, "report") as domain:
            domain.expect(b"faults: read well")
            os.unlink(image)
            for _ in range(2):
                domain.expect(b"faults: write well")
                domain.expect(b"faults: read well")
            check(b"error" not in domain.out, "the guest saw an error", domain.outcome())
            return domain.end()


def full(on_error):
    """A sparse image of 16 MiB on a tmpfs of 20 that a file of 12 fills; then that goes away."""
    with lib.folder() as folder:
        small = folder + "/small"
        os.mkdir(small)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20M", "tmpfs", small], check=False, capture_output=True)
        if mounted.returncode:
            raise harness.Skip("may not mount a tmpfs")
        try:
            image = lib.image(small + "/disk", 16)
            with open(small + "/ballast", "wb") as file:
                file.write(bytes(12 * MIB))
            with Domain(folder, image, on_error) as domain:
                if on_error == "report":
                    domain.expect(b"faults: write error")
                else:
                    domain.expect(b"faults: begin")
                    silent(domain, 4)
                    check(b"error" not in domain.out and b"well" not in domain.out, "the guest did not wait", domain.outcome())
                os.unlink(small + "/ballast")
                domain.expect(b"faults: write well")
                domain.expect(b"faults: read well")
                check(on_error == "report" or b"error" not in domain.out, "the guest saw an error", domain.outcome())
                return domain.end()
        finally:
            subprocess.run(["umount", "-l", small], check=False)


@test
def full_reports():
    return full("report")


@test
def full_waits():
    return full("wait")


if __name__ == "__main__":
    harness.main()
