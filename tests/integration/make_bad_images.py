# SPDX-License-Identifier: Apache-2.0
"""make_bad_images.py FOLDER HELLO: writes kernels into FOLDER/images: good ones around the guest HELLO in each compression
that Linux offers (to show that what is refused is refused for its fault), and bad ones. Containers that Python cannot
compress for hold their content uncompressed, which each format allows."""
import bz2
import gzip
import lzma
import os
import struct
import sys
import zlib


def gzip_(data):
    return gzip.compress(data, mtime=0)


def bzip2_(data):
    return bz2.compress(data)


def lzma_(data):
    return lzma.compress(data, format=lzma.FORMAT_ALONE)


def xz_(data):
    return lzma.compress(data, check=lzma.CHECK_CRC32)


def lz4_(data):
    """The legacy frame that Linux uses: blocks of up to 8 MiB, here of literals only."""
    block = b""
    left = len(data) - 15
    block += bytes([0xf0])
    while left >= 255:
        block += b"\xff"
        left -= 255
    block += bytes([left]) + data
    return struct.pack("<II", 0x184c2102, len(block)) + block


def lzo_(data):
    """lzop's format: a header, then blocks; a block as large packed as unpacked is stored."""
    header = struct.pack(">HHHBBIIIIB", 0x1030, 0x2080, 0x0940, 1, 5, 0, 0o100644, 0, 0, 0)
    out = b"\x89LZO\x00\r\n\x1a\n" + header + struct.pack(">I", zlib.adler32(header))
    for at in range(0, len(data), 256 * 1024):
        block = data[at:at + 256 * 1024]
        out += struct.pack(">II", len(block), len(block)) + block
    return out + struct.pack(">I", 0)


def zstd_(data):
    out = struct.pack("<IBI", 0xfd2fb528, 0xa0, len(data))  # single segment, 4-byte content size
    for at in range(0, len(data), 64 * 1024):
        block = data[at:at + 64 * 1024]
        last = at + 64 * 1024 >= len(data)
        out += ((len(block) << 3) | last).to_bytes(3, "little") + block
    return out


COMPRESSIONS = {"gzip": gzip_, "bzip2": bzip2_, "lzma": lzma_, "xz": xz_, "lz4": lz4_, "lzo": lzo_, "zstd": zstd_}


def bzimage(payload, unpacked):
    stub = 0x2a0
    setup = bytearray(5 * 512)
    setup[0x1f1] = 4
    struct.pack_into("<H", setup, 0x1fe, 0xaa55)
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20f)
    struct.pack_into("<H", setup, 0x20e, 0x300)
    setup[0x500:0x50a] = b"6.1.0-bad\0"
    payload += struct.pack("<I", unpacked)
    struct.pack_into("<II", setup, 0x248, stub, len(payload))
    return bytes(setup) + bytes(stub) + payload


def elf(notes=b"", machine=62, memory=0x1000):
    """A small ELF executable: code that halts, with the notes given."""
    code = b"\xf4\xeb\xfd" + bytes(61)
    headers = 64 + 2 * 56  # whether or not the second is used
    load = struct.pack("<IIQQQQQQ", 1, 5, headers, 0xffffffff80000000, 0, len(code), memory, 8)
    count = 2 if notes else 1
    note = struct.pack("<IIQQQQQQ", 4, 4, headers + len(code), 0, 0, len(notes), len(notes), 4)
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0xffffffff80000000, 64, 0, 0, 64, 56, count, 0, 0, 0)
    return head + load + note + code + notes


def main():
    folder = os.path.join(sys.argv[1], "images")
    os.makedirs(folder, exist_ok=True)
    with open(sys.argv[2], "rb") as file:
        hello = file.read()
    images = {
        "text": b"This is no kernel, whatever its name says.\n" * 100,
        "empty": b"",
        "zeros": bytes(1 << 20),
        "noise": bytes((i * 7919 >> 3) & 255 for i in range(100_000)),
        "elf-no-pv": elf(),
        "elf-arm": elf(machine=183),
        "elf-truncated": hello[:0x3000],
        "elf-header-only": hello[:40],
        "bzimage-no-pv": bzimage(gzip_(elf()), len(elf())),
        "bzimage-in-bzimage": bzimage(gzip_(b"not an ELF file" * 100), 1500),
        "bzimage-unknown": bzimage(b"\x00no compression that exists" * 100, 1 << 20),
        "bzimage-header-only": bzimage(gzip_(hello), len(hello))[:0x220],
    }
    for name, compress in COMPRESSIONS.items():
        packed = compress(hello)
        whole = bzimage(packed, len(hello))
        images[f"good-{name}"] = whole
        images[f"truncated-file-{name}"] = whole[:len(whole) * 2 // 3]
        images[f"truncated-data-{name}"] = bzimage(packed[:len(packed) * 2 // 3], len(hello))
        # The damage is in the container's own structure: not every format sums its contents.
        at = {"gzip": len(packed) // 2, "bzip2": len(packed) // 2, "lzma": 6, "xz": len(packed) // 2, "lz4": 5, "lzo": 40,
              "zstd": 9}[name]
        damaged = bytearray(packed)
        damaged[at:at + 4] = bytes(byte ^ 0xff for byte in damaged[at:at + 4])
        images[f"corrupt-{name}"] = bzimage(bytes(damaged), len(hello))
        images[f"wrong-size-{name}"] = bzimage(packed, len(hello) - 4096)
    for name, data in images.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


main()
