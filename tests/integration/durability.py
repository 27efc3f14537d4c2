# SPDX-License-Identifier: Apache-2.0
"""What the guest was told is durable is there after kill -9: of the parapet process, and (rig) of the whole machine.

The guest writes numbered records with fsync, files on ext4 and O_DIRECT records on a bare disk, and says "durable N" after
each. It is killed at a random moment. Then the host looks: e2fsck may only replay the journal and finds nothing to mend;
each record up to the last one that was said is there, whole.
  tests/integration/durability.py [--rounds N] [--seed S] [process_killed] [machine_killed]
"""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import faults_lib as lib
import harness
from harness import Failure, check, equal, test

ROUNDS = int(os.environ.get("PARAPET_ROUNDS", "3"))
SEED = int(os.environ.get("PARAPET_SEED", str(random.SystemRandom().randrange(1 << 32))))
SLOT, SLOTS, LINE = 16384, 512, 64
MODULES = ("crc32c_generic", "xen-blkfront", "ext4")
FILES_MIB, RAW_MIB = 96, SLOT * SLOTS // lib.MIB


def size_of(number):
    return (1 + number * 7 % 32) * 512


def record(kind, number, size):
    return "".join(f"{kind} {number:08} {line:04}".ljust(LINE - 1, ".") + "\n" for line in range(size // LINE)).encode()


def last_said(text):
    """{kind: the last number that the guest called durable}; a line that was cut off counts for nothing."""
    said = {}
    for kind, number in re.findall(r"^durable (files|raw) (\d+)\r?\n", text, re.M):
        said[kind] = max(said.get(kind, -1), int(number))
    return said


def replay(path):
    """Replays the journal of a copy; anything else to mend is a failure. -> the copy."""
    copy = path + ".copy"
    subprocess.run(["cp", "--sparse=always", path, copy], check=True)
    first = subprocess.run(["/sbin/e2fsck", "-fy", copy], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    mended = [line for line in first.stdout.splitlines() if line.strip() and not re.match(
        # Linux writes the superblock's sums of free blocks and inodes at unmount, and counts them anew at mount.
        r"e2fsck 1|.*recovering journal|Free (blocks|inodes) count wrong \(|Fix\? yes|Pass [1-5]|.*FILE SYSTEM WAS MODIFIED|.*: \d+/\d+ files", line)]
    check(not mended and first.returncode in (0, 1), f"e2fsck -fy {copy} had more to do than the journal: status "
          f"{first.returncode}\n{first.stdout}")
    second = subprocess.run(["/sbin/e2fsck", "-fn", copy], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    equal(second.returncode, 0, f"e2fsck -fn {copy}:\n{second.stdout}")
    return copy


def dump(file_system, name, out):
    subprocess.run(["/sbin/debugfs", "-R", f"dump {name} {out}", file_system], check=True, stderr=subprocess.DEVNULL)


def check_files(path, last):
    copy = replay(path)
    out = path + ".files"
    os.mkdir(out)
    subprocess.run(["/sbin/debugfs", "-R", f"rdump / {out}", copy], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    with open(out + "/log", "rb") as file:
        log = file.read()
    for number in range(last + 1):
        if number % 3 == 2:
            got, want = log[number // 3 * 4096:][:4096], record("files", number, 4096)
        else:
            want = record("files", number, size_of(number))
            try:
                with open(f"{out}/f{number}", "rb") as file:
                    got = file.read()
            except FileNotFoundError:
                raise Failure(f"file {number} of {last} is missing in {copy}") from None
        check(got == want, f"record {number} of {last} is wrong in {copy}: it begins {got[:64]!r}")
    shutil.rmtree(out)
    os.unlink(copy)


def check_raw(path, last):
    with open(path, "rb") as file:
        for number in range(max(0, last + 1 - SLOTS), last + 1):
            file.seek(number % SLOTS * SLOT)
            size = size_of(number)
            got = file.read(SLOT)
            if got[:size] == record("raw", number, size):
                continue
            # It may be written over, perhaps in part, by one whose "durable" was lost with the console's ring or is to come.
            newer = number + SLOTS
            allowed = newer <= last + SLOTS // 2 and all(
                line in (record("raw", number, size)[at:at + LINE], record("raw", newer, SLOT)[at:at + LINE])
                for at, line in ((at, got[at:at + LINE]) for at in range(0, min(size, size_of(newer)), LINE)))
            check(allowed, f"raw record {number} of {last} is wrong in {path}: slot {number % SLOTS} begins {got[:64]!r}")


def initramfs(path):
    return lib.initrd(path, "durable", MODULES, [(lib.program("durable"), "bin/durable")])


def run_until_killed(command, seconds, victim, limit):
    """Starts it, waits for the first durable records and that long, kills what victim(process) names. -> the console."""
    with harness.Conversation(command) as machine:
        machine.expect(b"durable files 0", limit)
        end = time.monotonic() + seconds
        os.set_blocking(machine.process.stdout.fileno(), False)
        while (left := end - time.monotonic()) > 0:
            harness.select.select([machine.process.stdout], [], [], left)
            machine.out += machine.process.stdout.read() or b""
        check(machine.process.poll() is None, "it ended by itself", machine.outcome())
        os.kill(victim(machine.process), signal.SIGKILL)
        os.set_blocking(machine.process.stdout.fileno(), True)
        rest, err = machine.process.communicate(timeout=60)
        machine.out += rest
        text = harness.text_of(machine.out)
        check("durable: failed" not in text, "the guest had an error", machine.outcome(machine.process.returncode, err))
        return text


def of_all_rounds(function):
    """Runs function(folder, round, seconds to wait) ROUNDS times and sums up what was checked."""
    chance = random.Random(SEED)
    total, done = {"files": 0, "raw": 0}, 0
    try:
        for number in range(ROUNDS):
            with lib.folder() as folder:
                said = function(folder, number, chance.choice([0.1, 0.5, 2, 4]) * chance.random())
            for kind in total:
                total[kind] += said.get(kind, -1) + 1
            done += 1
            if ROUNDS > 10:
                print(f"round {done} of {ROUNDS}: {said}", file=sys.stderr, flush=True)
    except Failure as failure:
        raise Failure(f"seed {SEED}, round {done + 1}: {failure}") from None
    check(total["files"] and total["raw"], "not one record was ever durable")
    return f"seed {SEED}: {ROUNDS} kills; {total['files']} files and log records, {total['raw']} raw records, all there"


@test
def process_killed():
    def one(folder, number, seconds):
        cache = ("direct", "buffered")[number % 2]
        files, raw = lib.image(folder + "/files", FILES_MIB, ext4=True), lib.image(folder + "/raw", RAW_MIB)
        command = lib.command(initramfs(folder + "/initrd"), [
            "--disk", f"vdev=xvdb,cache={cache},format=raw,target={files}",
            "--disk", f"vdev=xvdc,cache={cache},format=raw,target={raw}"])
        said = last_said(run_until_killed(command, seconds, lambda process: process.pid, 180))
        check_files(files, said.get("files", -1))
        check_raw(raw, said.get("raw", -1))
        return said
    return of_all_rounds(one)


def child(process):
    """The emulator that tools/laptop runs."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    name, fields = file.read().rpartition(")")[::2]
                if int(fields.split()[1]) == process.pid and "qemu-system" in name:
                    return int(entry)
            except OSError:
                continue
    raise Failure("tools/laptop runs no emulator")


def machine_round(folder, number, seconds):
    """files on an ext4 of the outer disk and raw on a disk of its own, or the other way round."""
    cache = ("direct", "buffered")[number // 2 % 2]
    inside, whole = ("files", "raw") if number % 2 else ("raw", "files")
    mount = folder + "/outer"
    os.mkdir(mount)
    lib.image(folder + "/files", FILES_MIB, ext4=True)
    lib.image(folder + "/raw", RAW_MIB)
    device = shutil.copy(f"{folder}/{whole}", f"{folder}/{whole}.disk")
    where = {inside: f"{mount}/{inside}", whole: "/dev/vdb"}
    guest = lib.command(initramfs(folder + "/initrd"), [
        "--disk", f"vdev=xvdb,cache={cache},format=raw,target={where['files']}",
        "--disk", f"vdev=xvdc,cache={cache},format=raw,target={where['raw']}"])
    script = f'cp --sparse=always {folder}/{inside} {mount}/ && sync && exec "$@"'
    command = [os.path.join(lib.TOP, "tools/laptop"), "--memory", "2500", "--timeout", "900",
               "--disk", f"{folder}/outer.disk,size=256M,mount={mount}", "--disk", device,
               "/bin/bash", "-c", script, "durability", *guest]
    said = last_said(run_until_killed(command, seconds, child, 600))
    outer = replay(folder + "/outer.disk")
    dump(outer, "/" + inside, f"{folder}/{inside}.after")
    os.rename(device, f"{folder}/{whole}.after")
    check_files(folder + "/files.after", said.get("files", -1))
    check_raw(folder + "/raw.after", said.get("raw", -1))
    return said


@test
def machine_killed():
    if harness.in_rig():
        raise harness.Skip("the rig does not start rigs")
    return of_all_rounds(machine_round)


if __name__ == "__main__":
    for option, variable in (("--rounds", "ROUNDS"), ("--seed", "SEED")):
        if option in sys.argv:
            at = sys.argv.index(option)
            globals()[variable] = int(sys.argv[at + 1])
            del sys.argv[at:at + 2]
    harness.main()
