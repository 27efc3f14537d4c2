#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels of today, suite by suite: each boots, works, and has nothing to complain of. The rows stand in
matrix_rows; prepare_matrix fetches them. MATRIX_SECONDS: for each of stress-ng's stressors (60; 0: none)."""
import os

import harness
from harness import check, equal, passes, prepared, value

SECONDS = int(os.environ.get("MATRIX_SECONDS", "60"))


def rows():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "matrix_rows"), encoding="utf-8") as file:
        return [line.split()[:2] for line in file if line.strip() and not line.startswith("#")]


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read().strip()


def boot(suite, kind):
    folder = prepared(f"matrix/{suite}-{kind}")
    if os.path.exists(os.path.join(folder, "gone")):
        raise harness.Skip(read(folder, "gone"))
    release = read(folder, "version")
    # Not quiet: the console's ring has the log of the kernel's first second too.
    outcome = passes(harness.domain(
        "matrix", kernel_path=os.path.realpath(os.path.join(folder, "vmlinuz")), memory="384M", limit=240 + 12 * SECONDS,
        initrds=[prepared("matrix/stress.cpio"), os.path.join(folder, "modules.cpio")],
        cmdline=f"parapet.processes=250 parapet.seconds={SECONDS} panic=-1 oops=panic"))
    check(f"release: {release}\n" in outcome.out, f"uname does not say {release}", outcome)
    check("modules: loaded and unloaded\n" in outcome.out, "no modules were loaded", outcome)
    equal(outcome.out.count("stress: "), 5 if SECONDS else 0, "stressors that ran", outcome)
    inside = outcome.statistics["domain"]
    if harness.options.home != "auto":
        equal(inside["home"], harness.options.home, "home", outcome)
    return (f"{release}, {inside['home']}: init after {inside['time_to_init_s']:.2f} s, "
            f"1000 processes in {value(outcome, 'forks took')} s")


def add(suite, kind):
    def row():
        return boot(suite, kind)
    row.__name__ = f"{suite}_{kind}"
    harness.test(row)


for one in rows():
    add(*one)
harness.main()
