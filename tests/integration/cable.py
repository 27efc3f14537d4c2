# SPDX-License-Identifier: Apache-2.0
"""Two Linux domains on a cable (--vif socket=PATH): they ping each other, move data both ways and part; and a disk that
one has is refused to the other. And a domain of an ordinary user, with a disk and a network of its own."""
import contextlib
import os
import shutil
import subprocess

import faults_lib as lib
import guest_shell
import harness
from guest_shell import PASST_GUEST, PASST_HOST, Guest, holds, spec
from harness import PARAPET, Skip, check, equal, test

MIB = lib.MIB
ADDRESS = {"one": "10.8.0.1", "two": "10.8.0.2"}


def end_of(folder, name):
    return ["--vif", f"socket={folder}/cable,mac=00:16:3e:00:08:{ADDRESS[name][-1]:0>2}"]


@contextlib.contextmanager
def pair(folder):
    """Both boot at the same time."""
    with contextlib.ExitStack() as stack:
        guests = {}
        for name in ADDRESS:
            guests[name] = Guest(name, end_of(folder, name))
            stack.callback(guests[name].__exit__, None, None, None)
        for guest in guests.values():
            guest.__enter__()
        for name, guest in guests.items():
            guest.interface_up(ADDRESS[name])
        yield guests["one"], guests["two"]


def ping(guest, other):
    guest.does(f"try ping -c 1 -W 1 {ADDRESS[other.name]}")
    guest.does(f"ping -c 3 -i 0.1 -W 5 -s 1472 {ADDRESS[other.name]}")  # 1500 bytes with its headers


def move(sender, receiver, mib):
    """That many MiB of random bytes, whole?"""
    sender.does(f"head -c {mib * MIB} /dev/urandom >/tmp/data")
    receiver.later("receive", "sh -c 'nc -l -p 5000 <>/tmp/never >/tmp/received'")
    # Until it listens there is nobody to connect to.
    receiver.does("try sh -c 'netstat -ltn | grep -q :5000'")
    sender.does(f"nc -w 60 {ADDRESS[receiver.name]} 5000 </tmp/data", limit=120)
    receiver.ends("receive", limit=120)
    sums = [guest.does(f"sha256sum <{path}; rm {path}") for guest, path in ((sender, "/tmp/data"), (receiver, "/tmp/received"))]
    equal(sums[1], sums[0], "the sum of what arrived", receiver)


def interface(guest):
    return guest.devices()["vif0"]["statistics"]


@test
def two_domains():
    with lib.folder() as folder, pair(folder) as (one, two):
        ping(one, two)
        ping(two, one)
        for sender, receiver in ((one, two), (two, one)):
            move(sender, receiver, 6)
        for guest in (one, two):
            equal(guest.does("cat /sys/class/net/eth0/mtu"), "1500", "MTU", guest)
            said = interface(guest)
            # Large segments, which netfront makes with checksum offload only, passed on as they are.
            check(said["tx_segmented"] > 0 and said["rx_segmented"] > 0 and said["tx_errors"] == said["rx_errors"] == 0,
                  f"the interface's statistics are {said}", guest)

        # One's disk is not for the other.
        image = lib.image(folder + "/disk", 16)
        with_disk = spec(image)
        one.attach("disk", with_disk)
        two.refused("attach", "two", "disk", with_disk, sentence="in use by another domain")
        one.does("device /dev/xvdb && put xvdb 1")
        one.detach("xvdb")
        two.attach("disk", with_disk)
        two.does("device /dev/xvdb && get xvdb 1")
        two.detach("xvdb")

        # The cable's other end goes, and somebody else comes.
        two.finish_well()
        one.fails(f"ping -c 2 -W 1 {ADDRESS['two']}")
        check(one.process.poll() is None, "it died of its partner's end", one)
        with Guest("two", end_of(folder, "two")) as two:
            two.interface_up(ADDRESS["two"])
            ping(one, two)
            move(one, two, 1)
            os.kill(two.process.pid, 9)
            two.process.wait()
        one.fails(f"ping -c 2 -W 1 {ADDRESS['two']}")
        one.finish_well()


@test
def ordinary_user():
    """Nobody's domain, by nobody's own rights: its image, and passt."""
    guest_shell.namespaces()
    # Not below /root, where the kernel and perhaps the program are.
    with lib.folder("/dev/shm") as folder, guest_shell.server("127.0.0.1") as port:
        os.chmod(folder, 0o755)
        for path in (PARAPET, lib.kernel()):
            shutil.copy(path, folder)
        own = folder + "/own"
        os.mkdir(own, 0o700)
        os.mkdir(own + "/run", 0o700)
        images = [lib.image(f"{own}/disk{number}", 16) for number in range(2)]
        for path in (own, own + "/run", *images):
            os.chown(path, 65534, 65534)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i", "PATH=" + os.environ["PATH"],
                  f"PARAPET_RUN={own}/run"]
        program = f"{folder}/{os.path.basename(PARAPET)}"

        def adapt(words):
            shutil.copy(words[words.index("--initrd") + 1], folder + "/initrd")
            words[words.index("--initrd") + 1] = folder + "/initrd"
            return [*nobody, program, "run", f"{folder}/{os.path.basename(lib.kernel())}", *words[3:]]

        with nobodys_kvm(folder), Guest("nobodys", ["--vif", "user", "--disk", images[0]], adapt=adapt) as guest:
            guest.does("device /dev/xvda && put xvda 1 && get xvda 1")
            guest.interface_up(PASST_GUEST)
            guest.does(f"fetch {PASST_HOST} {port}")
            equal(os.stat(f"/proc/{guest.process.pid}").st_uid, 65534, "whose process it is", guest)
            outcome = harness.run([*nobody, program, "attach", "nobodys", "disk", images[1]])
            equal((outcome.status, outcome.out, outcome.err), (0, "xvdb\n", ""), "what attach said", outcome)
            guest.does("device /dev/xvdb && put xvdb 2")
            outcome = harness.run([*nobody, program, "detach", "nobodys", "xvdb"])
            equal((outcome.status, outcome.err), (0, ""), "what detach said", outcome)
            guest.finish_well()
        holds(images[0], 1)
        holds(images[1], 2)


@contextlib.contextmanager
def nobodys_kvm(folder):
    """Everybody may use this mount namespace's /dev/kvm."""
    if subprocess.run(["mount", "--bind", harness.kvm_for_all(folder), "/dev/kvm"], check=False, capture_output=True).returncode:
        raise Skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "/dev/kvm"], check=True)


if __name__ == "__main__":
    guest_shell.in_namespaces("-m", "-n")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    harness.main()
