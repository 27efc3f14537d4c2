#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums up a run of tools/demo from parapet's statistics, as far as they are there.

usage: summary.py FOLDER KERNEL-VERSION START END WHERE, with FOLDER/statistics.json and perhaps FOLDER/console.
"""
import json
import re
import sys
from pathlib import Path


def find(tree, key):
    """The value of the first `key` in the tree, however deep; None without one."""
    if isinstance(tree, dict):
        if key in tree:
            return tree[key]
        for value in tree.values():
            found = find(value, key)
            if found is not None:
                return found
    return None


def main():
    folder, version, start, end, where = sys.argv[1:]
    try:
        statistics = json.loads(Path(folder, "statistics.json").read_text())
    except (OSError, ValueError):
        statistics = {}
    try:
        console = Path(folder, "console").read_text(errors="replace")
    except OSError:
        console = ""
    marker = re.search(r"parapet-init: uptime ([0-9.]+)", console)
    to_init = find(statistics, "time_to_init_s") or (float(marker[1]) if marker else None)
    exits = find(statistics, "exits")
    overhead = find(statistics, "memory_overhead_bytes")

    unknown = "not reported"
    rows = [
        ("kernel", find(statistics, "kernel_version") or version),
        ("ran", where),
        ("time to init", f"{to_init:.2f} s" if isinstance(to_init, (int, float)) else unknown),
        ("command to end", f"{float(end) - float(start):.2f} s"),
        ("memory overhead", f"{overhead / 2**20:.1f} MiB" if isinstance(overhead, (int, float)) else unknown),
    ]
    if isinstance(exits, dict) and exits:
        rows += [(f"VM exits, {name}", value) for name, value in exits.items()]
    else:
        rows.append(("VM exits", unknown))
    width = max(len(name) for name, _ in rows)
    print("Summary")
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")


main()
