#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Assemble decode_corpus.s and write decode_corpus.inc: bytes, length and memory address by binutils' own reading.

Run it by hand after changing decode_corpus.s: ./decode_corpus.py
"""
import pathlib
import re
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
NUMBERS = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] + [f"r{n}" for n in range(8, 16)]
RIP = 0xFFFFFFFF81000000


def register(name):
    """Value of a register in the test: as corpus_register() in decode_test.cpp."""
    if name.startswith("e"):
        return register("r" + name[1:]) & 0xFFFFFFFF
    return (0x1111000000001000 + NUMBERS.index(name) * 0x0000010203040506) & (2**64 - 1)


def address(text, end):
    operand = re.search(r"(?:%([fg]s):)?(-?0x[0-9a-f]+)?\((%\w+)?(?:,(%\w+),(\d))?\)", text)
    if not operand or operand.group(1) or "%es:" in text or "%ds:" in text or "(%dx)" in text:
        return None
    disp, base, index, scale = operand.group(2), operand.group(3), operand.group(4), operand.group(5)
    value = int(disp, 16) if disp else 0
    if base == "%rip":
        value += end
    elif base:
        value += register(base[1:])
    if index and index != "%riz":
        value += register(index[1:]) * int(scale)
    narrow = any(part and part.startswith("%e") for part in (base, index))
    return value & (0xFFFFFFFF if narrow else 2**64 - 1)


def main():
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "corpus.o"
        subprocess.run(["as", str(HERE / "decode_corpus.s"), "-o", str(made)], check=True)
        listing = subprocess.run(["objdump", "-d", "-w", "--insn-width=16", str(made)], check=True,
                                 capture_output=True, text=True).stdout
    rows = []
    for line in listing.splitlines():
        match = re.match(r"\s+([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t(.*)", line)
        if not match:
            continue
        code = match.group(2).split()
        text = re.sub(r"\s+", " ", match.group(3)).split(" #")[0].strip()
        known = address(text, RIP + len(code))
        shown = "NO_ADDRESS" if known is None else f"0x{known:x}"
        rows.append(f"    {{{len(code)}, {{{', '.join('0x' + byte for byte in code)}}}, {shown}, R\"({text})\"}},")
    head = "// SPDX-License-Identifier: Apache-2.0\n// Made by decode_corpus.py from decode_corpus.s.\n// clang-format off\n"
    (HERE / "decode_corpus.inc").write_text(head + "\n".join(rows) + "\n// clang-format on\n")
    print(len(rows), "instructions")


main()
