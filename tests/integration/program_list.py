#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists a dynamic program with all libraries that it needs, for mkcpio.py. usage: program_list.py ROOT PROGRAM
ROOT is a folder with unpacked packages; the program goes to /bin, libraries to where its loader looks."""
import os
import re
import subprocess
import sys

FOLDERS = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib"]
LOADER = "ld-linux-x86-64.so.2"


def needs(path):
    out = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", out)


def find(root, name):
    for folder in FOLDERS:
        path = os.path.join(root, folder, name)
        if os.path.exists(path):
            return os.path.realpath(path)
    return sys.exit(f"program_list.py: no library {name} in {root}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, program = sys.argv[1], os.path.join(sys.argv[1], sys.argv[2])
    found, todo = {LOADER: find(root, LOADER)}, needs(program)
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = find(root, name)
            todo += needs(found[name])
    print(f"file\t/bin/{os.path.basename(program)}\t755\t{program}")
    for name, path in sorted(found.items()):
        folder = "lib64" if name == LOADER else "lib/x86_64-linux-gnu"
        print(f"file\t/{folder}/{name}\t755\t{path}")


main()
