# SPDX-License-Identifier: Apache-2.0
"""fio's verified mixed I/O through every combination of the disks' features, one row of the table below a time.

In the guest several jobs write (faults_guest/soak.fio: depths 1 to 64, 512 bytes to 1 MiB, direct and buffered, flushes,
discards) at once and read it back, round after round over the same disk; then all of it is read again past the guest's
page cache, and at last on the host out of the image: what fio's seed says was written, zeroes where discards were.
  tests/integration/soak.py [--gigabytes N] [--seed S] [ROW]...
About N gigabytes (10^9) are moved in all rows together, each at least some 50 MB.
"""
import atexit
import collections
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time

import faults_lib as lib
import harness
from harness import Skip, check, equal, test

sys.path.insert(0, os.path.join(harness.TOP, "tools/lib"))
from free_port import free_port  # noqa: E402

GIGABYTES = float(os.environ.get("PARAPET_GIGABYTES", "0.4"))
SEED = int(os.environ.get("PARAPET_SEED", str(random.SystemRandom().randrange(1 << 16))))
MIB = lib.MIB
JOBS = os.path.join(lib.HERE, "faults_guest/soak.fio")
WHOLE = ("deep", "large", "small", "single", "buffered", "lazy")
REGIONS = 20  # of which `large` has ten, and the last three are never written
PIECES = 8  # of the region of which every second one is cleared

# options: of --disk; sector: what the guest shall see; zeroes: what was discarded reads as zeroes (NBD leaves it open).
Disk = collections.namedtuple("Disk", "where options sector discard zeroes", defaults=("", 512, True, True))
# blkfront: parameters of its module; share: of the bytes that a row moves; proof: {counter: was it used}; persistent: grants
# are, says blkfront.
Row = collections.namedtuple("Row", "name disks blkfront share proof persistent", defaults=("", 1.0, {}, False))
MOST = "max_ring_page_order=4,max_indirect_segments=256"
# With persistent grants blkfront takes a page for each segment of each slot for good: MOST would be 514 MB.
MOST_SLOTS = "max_ring_page_order=4,max_indirect_segments=16"
MOST_SEGMENTS = "max_ring_page_order=0,max_indirect_segments=256"
LEAST = "max_ring_page_order=0,max_indirect_segments=0"
ROWS = [
    Row("direct", [Disk("file", "cache=direct")], proof={"indirect": True, "discards": True, "flushes": True}),
    Row("direct_least", [Disk("file", "cache=direct,no-discard", discard=False)], LEAST,
        proof={"indirect": False, "discards": False}),
    Row("direct_4k_most", [Disk("file", "cache=direct,sector-size=4096", 4096)], MOST, proof={"indirect": True}),
    Row("buffered", [Disk("file", "cache=buffered")], MOST, proof={"indirect": True, "discards": True}),
    Row("buffered_4k_least", [Disk("file", "cache=buffered,sector-size=4096", 4096)], LEAST, proof={"indirect": False}),
    Row("persistent", [Disk("file", "cache=direct,persistent=yes")], "feature_persistent=1", persistent=True),
    Row("persistent_buffered_least", [Disk("file", "cache=buffered,persistent=yes,no-discard", discard=False)],
        LEAST + ",feature_persistent=1", proof={"indirect": False}, persistent=True),
    Row("persistent_most", [Disk("file", "cache=direct,persistent=yes,sector-size=4096", 4096)],
        MOST_SLOTS + ",feature_persistent=1", proof={"indirect": True}, persistent=True),
    Row("refused_persistent", [Disk("file", "cache=direct,persistent=yes")], MOST + ",feature_persistent=0"),
    Row("limited", [Disk("file", "iops=200,iops-burst=20,bps=10MB/s,bps-burst=2MB")], share=0.3, proof={"throttled": True}),
    Row("waits", [Disk("file", "on-error=wait,removable,direct-io-safe")], "max_ring_page_order=2"),
    Row("block_device", [Disk("loop")], MOST, proof={"discards": True}),
    Row("block_device_4k", [Disk("loop4k", "sector-size=4096", 4096)], proof={"discards": True}),
    Row("block_device_4k_as_512", [Disk("loop4k", "no-discard", discard=False)], proof={"discards": False}),
    Row("qcow2", [Disk("qcow2", "", zeroes=False)], proof={"discards": True}),
    Row("qcow2_persistent", [Disk("qcow2", "persistent=yes", zeroes=False)], MOST_SEGMENTS, persistent=True),
    Row("nbd_unix", [Disk("unix", "", zeroes=False)], MOST),
    Row("nbd_tcp", [Disk("tcp", "", zeroes=False)], LEAST),
    Row("two_at_once", [Disk("file", "cache=direct"), Disk("file", "cache=buffered,persistent=yes")], share=1.5),
    Row("unlike_pair", [Disk("qcow2", "", zeroes=False), Disk("file", "cache=direct")], MOST, share=1.5),
]


def with_libraries(name):
    """The program's file and those that its loader wants."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        raise Skip(f"there is no {name} on this machine")
    text = subprocess.run(["ldd", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [path] + [word for word in text.split() if word.startswith("/")]


def programs(folder):
    """A file system with fio and its libraries: too large (84 MB) to be unpacked into a small guest's memory."""
    root = folder + "/programs"
    for source in with_libraries("fio") + with_libraries("blkdiscard"):
        place = root + ("/bin/" + os.path.basename(source) if "/bin/" in source or "/sbin/" in source else source)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy(source, place)
    image = lib.image(root + ".img", 128)
    subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", root, image], check=True)
    shutil.rmtree(root)
    return image


def initramfs(folder):
    return lib.initrd(folder + "/initrd", "soak", ["crc32c_generic", "xen-blkfront", "ext4"], [(JOBS, "soak.fio")])


@contextlib.contextmanager
def server(command, ready):
    """An NBD server that is there when ready() is."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20
            while not ready():
                check(process.poll() is None and time.monotonic() < end, f"{command[0]} does not serve")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def loop_device(path, sector):
    made = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", f"--sector-size={sector}", path], check=False,
                          capture_output=True, text=True)
    if made.returncode:
        raise Skip("may not make loop devices: " + made.stderr.strip())
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


@contextlib.contextmanager
def served(disk, path):
    """What --disk calls the image at `path`."""
    if disk.where == "file":
        yield "format=raw,target=" + path
    elif disk.where in ("loop", "loop4k"):
        with loop_device(path, 4096 if disk.where == "loop4k" else 512) as device:
            yield "format=raw,target=" + device
    elif disk.where == "qcow2":
        size = os.path.getsize(path)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path + ".qcow2", str(size)], check=True)
        yield f"format=qcow2,target={path}.qcow2"
        subprocess.run(["qemu-img", "check", "-q", path + ".qcow2"], check=True)
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path + ".qcow2", path], check=True)
    elif disk.where == "unix":
        name = path + ".socket"
        with server(["qemu-nbd", "--socket", name, "--format=raw", "--export-name=disk", "--persistent", "--shared=0",
                     "--cache=none", "--aio=native", "--discard=unmap", path], lambda: os.path.exists(name)):
            yield "target=nbd+unix:///disk?socket=" + name
    else:
        port = free_port()
        with server(["nbdkit", "--foreground", "--exit-with-parent", "--ipaddr=127.0.0.1", f"--port={port}", "file", path],
                    lambda: listens(port)):
            yield f"target=nbd://127.0.0.1:{port}/"


class Soak:
    """A row's images and how they were written last."""

    def __init__(self, row, folder, gigabytes):
        self.row, self.folder = row, folder
        self.initrd, self.programs = initramfs(folder), programs(folder)
        bytes_a_disk = gigabytes * 1e9 / len(row.disks)
        # A round moves about 46 regions' bytes: most are written, verified, and all of it is verified once more.
        regions = bytes_a_disk / MIB / 46
        self.mib = max(1, min(24, round(regions)))
        self.rounds = max(1, round(regions / self.mib))
        self.images = [lib.image(f"{folder}/disk{number}", REGIONS * self.mib) for number in range(len(row.disks))]

    def boot(self, mode, disks, limit=600):
        """The guest, with the --disk options of `disks`. -> the outcome, and seconds."""
        first = self.row.disks[0]
        names = [f"xvd{chr(ord('b') + number)}" for number in range(len(disks))]
        extra = ["--json", self.folder + "/statistics", "--disk", f"vdev=xvdz,access=ro,format=raw,target={self.programs}"]
        for name, disk in zip(names, disks):
            extra += ["--disk", f"vdev={name},{disk}"]
        words = {**self.sizes(), "DISKS": ",".join(names), "MODE": mode, "ROUNDS": self.rounds, "SECTOR": first.sector,
                 "SEED": SEED, "TRIM": int(first.discard), "ZEROES": int(all(disk.zeroes for disk in self.row.disks)),
                 "BLKFRONT": self.row.blkfront}
        cmdline = " ".join(f"{key}={value}" for key, value in words.items() if value != "")
        command = lib.command(self.initrd, extra, "256M", limit, cmdline)
        return harness.run(command, limit=limit + 20, statistics=self.folder + "/statistics")

    def sizes(self):
        return {"MIB": self.mib, "LARGE": 10 * self.mib, "SMALL": max(1, self.mib // 8), "DEPTH": 32}

    def fio(self, image, seed, sector, *options):
        """The guest's jobs on the host. -> the complaint, or nothing."""
        words = {**self.sizes(), "DISK": image, "SEED": seed, "SECTOR": sector, "BACKLOG": 0}
        done = subprocess.run(["fio", "--eta=never", *options, *(f"--section={name}" for name in WHOLE), JOBS], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, **{name: str(value) for name, value in words.items()}})
        return done.stdout if done.returncode else ""

    def verify(self, number):
        """On the host: what the guest's jobs of the last round wrote. -> fio's complaint, or nothing."""
        disk, image = self.row.disks[number], self.images[number]
        wrong = self.fio(image, SEED + 1000 * number + self.rounds, disk.sector, "--verify_only")
        return wrong or self.verify_holes(image, disk)

    def verify_holes(self, image, disk):
        with open(image, "rb") as file:
            file.seek((REGIONS - 3) * self.mib * MIB)
            if file.read().strip(b"\0"):
                return "something was written to where no job writes"
            piece = self.mib * MIB // PIECES
            for stripe in range(PIECES // 2):
                edge = stripe // 2 % 2 * disk.sector
                file.seek(5 * self.mib * MIB + (2 * stripe + 1) * piece + edge)
                cleared = disk.zeroes or not disk.discard or stripe % 2
                if cleared and file.read(piece - 2 * edge).strip(b"\0"):
                    return f"stripe {stripe} was discarded or zeroed and has data"
        return ""

    def run(self):
        with contextlib.ExitStack() as stack:
            targets = [stack.enter_context(served(disk, image)) for disk, image in zip(self.row.disks, self.images)]
            disks = [",".join(part for part in (disk.options, target) if part)
                     for disk, target in zip(self.row.disks, targets)]
            outcome = self.boot("write", disks, 600 + 300 * self.rounds)
        well(outcome)
        for number, image in enumerate(self.images):
            wrong = self.verify(number)
            check(not wrong, f"fio on the host, of {image}:\n{wrong[:2000]}", outcome)
        return outcome


def well(outcome):
    equal(outcome.status, 0, "exit status", outcome)
    check("soak: well" in outcome.out and "soak: FAIL" not in outcome.out, "fio in the guest failed", outcome)


moved = collections.Counter()


def counters(outcome):
    total = collections.Counter()
    for disk, values in outcome.statistics["domain"]["devices"].items():
        if disk != "xvdz":
            total.update(values)
    return total


def describe(outcome):
    sum_of = counters(outcome)
    moved.update({name: sum_of[name] for name in ("bytes_written", "bytes_read", "bytes_discarded")})
    return (f"{sum_of['bytes_written'] / 1e6:.0f} MB written, {sum_of['bytes_read'] / 1e6:.0f} read, "
            f"{sum_of['bytes_discarded'] / 1e6:.0f} discarded, {sum_of['flushes']} flushes in {outcome.seconds:.0f} s")


def of_row(row):
    def run():
        with lib.folder() as folder:
            try:
                share = row.share * GIGABYTES / sum(other.share for other in ROWS)
                outcome = Soak(row, folder, share).run()
                used = counters(outcome)
                equal(used["errors"], 0, "errors in the statistics", outcome)
                equal(used["refused"], 0, "requests refused in the statistics", outcome)
                if len(row.disks) == 1:
                    said = "persistent grants: " + ("enabled" if row.persistent else "disabled")
                    check(said in outcome.out, f"blkfront does not say '{said}'", outcome)
                for counter, wanted in row.proof.items():
                    equal(used[counter] > 0, wanted, f"{counter} in the statistics ({used[counter]})", outcome)
                return describe(outcome)
            except harness.Failure as failure:
                raise harness.Failure(f"seed {SEED}: {failure}") from None
    run.__name__ = row.name
    test(run)


for each in ROWS:
    of_row(each)


@test
def read_only_afterwards():
    """A removable, read-only disk has what a writable one was given."""
    with lib.folder() as folder:
        row = Row("read_only", [Disk("file", "cache=buffered")])
        soak = Soak(row, folder, GIGABYTES / len(ROWS) / 2)
        soak.run()
        outcome = soak.boot("read", ["cache=direct,removable,access=ro,format=raw,target=" + soak.images[0]])
        well(outcome)
        equal(counters(outcome)["bytes_written"], 0, "bytes written", outcome)
        return describe(outcome)


@test
def finds_what_is_wrong():
    """A byte of another value on one disk, a lost write (a sector of an earlier round) on the other: found in the guest and
    on the host."""
    with lib.folder() as folder:
        soak = Soak(Row("wrong", [Disk("file"), Disk("file", "cache=buffered")]), folder, 0)
        soak.run()
        earlier = lib.image(folder + "/earlier", REGIONS * soak.mib)
        equal(soak.fio(earlier, SEED, 512), "", "fio on the host")
        for number, image in enumerate(soak.images):
            with open(image, "r+b") as file, open(earlier, "rb") as before:
                at = 7 * soak.mib * MIB + 1000 * 512  # in the region of `large`
                file.seek(at)
                before.seek(at)
                right, old = file.read(512), before.read(512)
                file.seek(at)
                file.write(old if number else right[:100] + bytes([right[100] ^ 1]) + right[101:])
            check("verify" in soak.verify(number), f"fio on the host did not find what is wrong at {at} of {image}")
        outcome = soak.boot("verify", [f"format=raw,target={image}" for image in soak.images])
        for name in ("xvdb", "xvdc"):
            check(f"soak: FAIL: cold-{name}" in outcome.out, f"fio in the guest did not find what is wrong on {name}", outcome)
        check("soak: well" not in outcome.out, "the guest is content", outcome)
        return "a wrong byte and a lost write were found"


if __name__ == "__main__":
    for option, variable, kind in (("--gigabytes", "GIGABYTES", float), ("--seed", "SEED", int)):
        if option in sys.argv:
            where = sys.argv.index(option)
            globals()[variable] = kind(sys.argv[where + 1])
            del sys.argv[where:where + 2]
    atexit.register(lambda: print(f"{sum(moved.values()) / 1e9:.2f} GB moved: " + ", ".join(
        f"{name} {value / 1e9:.2f}" for name, value in moved.items())))
    harness.main()
