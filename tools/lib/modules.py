#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the files of kernel modules in the order of their loading, what they depend on first.

usage: modules.py MODULES-DIR NAME...
Debian's kernel package has no modules.dep before it is installed, so each module is asked itself (its .modinfo). What the
kernel has built in is left out.
"""
import os
import re
import sys


def key(name):
    return re.sub(r"\.ko.*$", "", os.path.basename(name)).replace("-", "_")


class Modules:
    def __init__(self, folder):
        self.folder = folder
        self.files = {key(name): os.path.join(root, name)
                      for root, _, names in os.walk(os.path.join(folder, "kernel")) for name in names}
        with open(os.path.join(folder, "modules.builtin"), encoding="utf-8") as lines:
            self.built_in = {key(line.strip()) for line in lines}

    def needs(self, name):
        """The modules that `name` wants loaded before it."""
        with open(self.files[name], "rb") as file:
            info = file.read()
        for match in re.findall(rb"\0depends=([^\0]*)\0", info):
            yield from (key(one) for one in match.decode().split(",") if one)
        for match in re.findall(rb"\0softdep=pre: ([^\0]*)\0", info):
            for one in match.decode().split():  # algorithms by their aliases: crypto-crc32c, xxhash64, blake2b-256, ...
                algorithm = one.removeprefix("crypto-").split("-")[0]
                for candidate in (algorithm + "_generic", algorithm.rstrip("0123456789") + "_generic", key(one)):
                    if candidate in self.files:
                        yield candidate
                        break

    def order(self, names):
        done = []

        def load(name):
            if name in self.built_in or name in done:
                return
            if name not in self.files:
                sys.exit(f"modules.py: the kernel in {self.folder} has no module {name}")
            for other in self.needs(name):
                load(other)
            done.append(name)

        for name in names:
            load(key(name))
        return [self.files[name] for name in done]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print("\n".join(Modules(sys.argv[1]).order(sys.argv[2:])))


main()
