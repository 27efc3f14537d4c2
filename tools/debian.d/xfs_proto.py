# SPDX-License-Identifier: Apache-2.0
"""Prints a folder as a prototype file for mkfs.xfs -p, which copies no folder by itself (xfsprogs 6.1)."""
import os
import stat
import sys

TYPES = [(stat.S_ISLNK, "l"), (stat.S_ISDIR, "d"), (stat.S_ISCHR, "c"), (stat.S_ISBLK, "b"), (stat.S_ISFIFO, "p"),
         (stat.S_ISREG, "-")]


def mode_of(info):
    kind = next((letter for is_kind, letter in TYPES if is_kind(info.st_mode)), None)
    if kind is None:
        return None
    user = "u" if info.st_mode & stat.S_ISUID else "-"
    group = "g" if info.st_mode & stat.S_ISGID else "-"
    return f"{kind}{user}{group}{info.st_mode & 0o777:03o} {info.st_uid} {info.st_gid}"


def show(folder, depth):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        info = os.lstat(path)
        mode = mode_of(info)
        if mode is None or any(c in path for c in " \t\n"):
            continue  # a socket, or a name that the format cannot say
        line = f"{' ' * depth}{name} {mode}"
        if stat.S_ISDIR(info.st_mode):
            print(line)
            show(path, depth + 1)
            print(" " * depth + "$")
        elif stat.S_ISLNK(info.st_mode):
            print(line, os.readlink(path))
        elif stat.S_ISREG(info.st_mode):
            print(line, os.path.abspath(path))
        elif stat.S_ISFIFO(info.st_mode):
            print(line)
        else:
            print(line, os.major(info.st_rdev), os.minor(info.st_rdev))


print("none\n0 0")
print(mode_of(os.lstat(sys.argv[1])))
show(sys.argv[1], 0)
print("$")
