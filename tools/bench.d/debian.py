# SPDX-License-Identifier: Apache-2.0
"""The Debian machine of tools/debian-image on one disk, as a domain of parapet and in QEMU with virtio-blk: seconds from the
command to root's prompt on the console. JSON on stdout."""
import os
import re
import tempfile

from common import arguments, finish, median, ratio, say, where
from machines import Guest, Running, parapet_command, qemu_command

PROMPT = re.compile(rb"root@debian:[^\n]*# ")  # not "login: ", which one console says by itself and another with its line


def main():
    options = arguments(kernel={"required": True}, initrd={"required": True}, disk={"required": True},
                        root={"required": True}, memory={"type": int, "default": 1024}, only={"default": ""},
                        no_reference={"action": "store_true"}, from_disk={"action": "store_true"})
    place = where()
    ways = ["parapet"] + ([] if options.no_reference else ["qemu"])
    ways = options.only.split("+") if options.only else ways
    guest = Guest(options.kernel, options.initrd, options.memory, f"root=UUID={options.root} ro", 600)
    runs = {way: [] for way in ways}
    for file in (options.kernel, options.initrd):
        with open(file, "rb") as content:  # the rig's file system would make the first way pay for reading
            while content.read(1 << 20):
                pass
    with tempfile.TemporaryDirectory() as work:
        commands = {
            "parapet": parapet_command(options.build, options.home, guest, work + "/json",
                                       ["--disk", f"{options.disk},raw,xvda,w"]),
            "parapet-disk": [options.build + "/tools/parapet/parapet", "run", "--no-reboot", "--timeout", "600s",
                             "--home", options.home, "--memory", f"{options.memory}M",
                             "--disk", f"{options.disk},raw,xvda,w"],
            "qemu": qemu_command(guest, ["-object", "iothread,id=io", "-drive",
                                         f"if=none,id=disk,format=raw,file={options.disk},aio=io_uring,cache=none",
                                         "-device", "virtio-blk-pci,drive=disk,iothread=io"])}
        for number in range(options.repeat + 1):
            for way in ways:
                say(f"{way}, " + (f"round {number} of {options.repeat}" if number else "once to warm up"))
                running = Running(commands[way], guest.limit)
                took = running.until(PROMPT)
                running.end()  # at once: each boot finds the file system as another one's sudden end has left it
                if number:
                    runs[way].append(took)
    results = {way: median(found) for way, found in runs.items()}
    finish({"benchmark": "debian", "where": place, "repeat": options.repeat, "memory_mib": options.memory,
            "kernel": os.path.basename(options.kernel), "login_s": results, "runs": runs,
            "ratio": ratio(results.get("parapet"), results.get("qemu"))})


main()
