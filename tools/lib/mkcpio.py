#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a reproducible initramfs (cpio "newc") as an ordinary user, device nodes included.

usage: mkcpio.py OUT <LIST, one entry a line, fields separated by tabs:
  dir   /path mode
  file  /path mode source-file
  link  /path target
  node  /path mode major minor
Parent directories are added by themselves. Times, owners and inode numbers are fixed: equal input, equal output.
"""
import os
import stat
import sys
import tempfile


def header(ino, mode, nlink, size, rmajor, rminor, namesize):
    fields = (ino, mode, 0, 0, nlink, 0, size, 0, 0, rmajor, rminor, namesize, 0)
    return b"070701" + b"".join(b"%08x" % f for f in fields)


def pad(data):
    return data + b"\0" * (-len(data) % 4)


def read_list(lines):
    """-> {path: (mode, data-or-source, (major, minor))}, parents included."""
    entries = {}
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        kind, path, *rest = line.split("\t")
        path = path.strip("/")
        parent = os.path.dirname(path)
        while parent:
            entries.setdefault(parent, (stat.S_IFDIR | 0o755, b"", (0, 0)))
            parent = os.path.dirname(parent)
        if kind == "dir":
            entries[path] = (stat.S_IFDIR | int(rest[0], 8), b"", (0, 0))
        elif kind == "file":
            with open(rest[1], "rb") as source:
                entries[path] = (stat.S_IFREG | int(rest[0], 8), source.read(), (0, 0))
        elif kind == "link":
            entries[path] = (stat.S_IFLNK | 0o777, rest[0].encode(), (0, 0))
        elif kind == "node":
            entries[path] = (stat.S_IFCHR | int(rest[0], 8), b"", (int(rest[1]), int(rest[2])))
        else:
            sys.exit(f"mkcpio.py: line {number}: unknown kind {kind!r}")
    return entries


def archive(entries):
    for ino, (path, (mode, data, device)) in enumerate(sorted(entries.items()), 1):
        name = path.encode() + b"\0"
        yield pad(header(ino, mode, 2 if stat.S_ISDIR(mode) else 1, len(data), *device, len(name)) + name)
        yield pad(data)
    name = b"TRAILER!!!\0"
    yield pad(header(0, 0, 1, 0, 0, 0, len(name)) + name)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        entries = read_list(sys.stdin)
    except OSError as error:
        sys.exit(f"mkcpio.py: cannot read {error.filename}: {error.strerror}")
    out = sys.argv[1]
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(out) or ".")
    with os.fdopen(handle, "wb") as file:
        file.writelines(archive(entries))
    os.chmod(temporary, 0o644)
    os.replace(temporary, out)


main()
