#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Says on stderr what a rig that did not get done is doing: `rig_state.py FOLDER PROCESS`, the folder of tools/laptop's run
and its QEMU.

Its console's last lines, its timers' and CPUs' registers by QEMU's monitor, twice with a second between (a CPU that stands
still shows the same RIP and a timer that is late stays late), and what QEMU's own threads wait for."""
import os
import select
import socket
import sys
import time

QUERIES = ("info status", "info registers -a", "info lapic", "info pic")
PROMPT = b"\n(qemu) "


def hear(monitor):
    """What the monitor says until it prompts, 5 s at most."""
    text, end = b"", time.monotonic() + 5
    while not text.endswith(PROMPT) and select.select([monitor], [], [], max(0, end - time.monotonic()))[0]:
        data = monitor.recv(65536)
        if not data:
            break
        text += data
    return text


def ask(monitor, query):
    """The lines of the monitor's answer, without the echo and the prompt."""
    monitor.sendall(query.encode() + b"\n")
    lines = hear(monitor).decode(errors="replace").replace("\r", "").split("\n")
    dull = "(qemu)", "FPR", "XMM", "YMM", "FCW"
    return [line for line in lines[1:] if line and not line.startswith(dull) and " vec=0 " not in line]


def threads(process):
    for thread in sorted(os.listdir(f"/proc/{process}/task"), key=int):
        folder = f"/proc/{process}/task/{thread}"
        try:
            with open(folder + "/stat", encoding="ascii") as file:
                fields = file.read().rsplit(") ", 1)[1].split()
            with open(folder + "/wchan", encoding="ascii") as file:
                wait = file.read()
            with open(folder + "/comm", encoding="ascii") as file:
                yield f"{file.read().strip()}: {fields[0]} {wait}, {fields[11]}+{fields[12]} ticks"
        except OSError:
            continue


def main():
    work, process = sys.argv[1], sys.argv[2]
    with open(work + "/console", encoding="utf-8", errors="replace") as file:
        print("the rig's console ends:", *file.read().splitlines()[-15:], sep="\n  | ", file=sys.stderr)
    print("QEMU's threads:", *threads(process), sep="\n  | ", file=sys.stderr)
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(5)
        monitor.connect(work + "/monitor")
        hear(monitor)  # its greeting
        for round_ in range(2):
            for query in QUERIES:
                print(f"{query} ({round_ + 1} of 2):", *ask(monitor, query), sep="\n  | ", file=sys.stderr)
            time.sleep(1)
    print("QEMU's threads after that:", *threads(process), sep="\n  | ", file=sys.stderr)


try:
    main()
except OSError as error:
    print(f"the rig's state cannot be had: {error}", file=sys.stderr)
