#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes the ELF kernel out of a bzImage, so that QEMU's emulator need not unpack it at every boot.

usage: vmlinux.py BZIMAGE OUT. Exit status 3 where this Python cannot unpack the kernel's compression.
Source of the header's layout: Documentation/x86/boot.rst (setup_sects, payload_offset, payload_length).
"""
import bz2
import lzma
import struct
import sys
import zlib

UNPACK = {
    b"\x1f\x8b": lambda data: zlib.decompressobj(31).decompress(data),
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\0": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x5d\0\0": lambda data: lzma.LZMADecompressor().decompress(data),
}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        image = file.read()
    if image[0x202:0x206] != b"HdrS":
        sys.exit(f"vmlinux.py: {sys.argv[1]} is not a bzImage")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (image[0x1F1] + 1) * 512 + offset
    payload = image[start : start + length]
    for magic, unpack in UNPACK.items():
        if payload.startswith(magic):
            with open(sys.argv[2], "wb") as file:
                file.write(unpack(payload))
            return
    sys.exit(3)


main()
