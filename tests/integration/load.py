#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Load: thousands of processes and a tree of small files out of an archive, with right checksums. A tree of as many files
as Linux has: make it by PARAPET_TREE_FILES=78000 tests/integration/prepare."""
import json

import harness
from harness import domain, passes, prepared, test, value


@test
def forks():
    outcome = passes(domain("load", cmdline="parapet.processes=250", limit=200))
    return f"1000 processes in {value(outcome, 'forks took')} s"


@test
def forks_and_tree():
    with open(prepared("tree.json"), encoding="utf-8") as file:
        tree = json.load(file)
    # The archive as initramfs and as a file, the tree, and a kernel.
    memory = 160 + (tree["bytes"] * 2 + tree["files"] * 4096) // (1 << 20)
    outcome = passes(domain(
        "load", memory=f"{memory}M", initrds=[prepared("tree.cpio")], limit=400,
        cmdline=f"parapet.processes=100 parapet.files={tree['files']} parapet.sum={tree['md5']}"))
    return f"{tree['files']} files, {tree['bytes'] >> 20} MiB in {value(outcome, 'tar took')} s"


@test
def frames_that_differ():
    """The same with machine frames shuffled: no page table may rest on their order."""
    outcome = passes(domain("load", cmdline="parapet.processes=100", limit=200,
                            popen={"env": {**harness.os.environ, "PARAPET_SHUFFLE": "99"}}))
    return f"400 processes in {value(outcome, 'forks took')} s"


harness.main()
