#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's stock kernels boot as PV domains, find what they should, and power off."""
import re
import time

import harness
from harness import check, domain, equal, passes, test, value


def boots(kind, memory, mebibytes, **keywords):
    outcome = passes(domain("boot", kind=kind, memory=memory, **keywords))
    release = re.search(r"vmlinuz-(.*)$", harness.kernel(kind)).group(1)
    check(f"release: {release}\n" in outcome.out, f"uname does not say {release}", outcome)
    check("machine: x86_64\n" in outcome.out, "the machine is not x86_64", outcome)
    check("hypervisor: xen\n" in outcome.out, "the guest does not see Xen", outcome)
    check("guest type: PV\n" in outcome.out, "the guest does not see itself as a PV guest", outcome)
    check("events: FIFO\n" in outcome.out, "the guest does not use FIFO event channels", outcome)
    equal(value(outcome, "processors"), 1, "processors", outcome)
    # The kernel keeps some for itself: 1/64 for its page structures and some 40 MiB.
    have = value(outcome, "memory") / 1024
    check(mebibytes * 0.96 - 60 < have <= mebibytes, f"the guest has {have} of {mebibytes} MiB", outcome)
    check(abs(value(outcome, "now") - time.time()) < 120, "the guest's clock is wrong", outcome)
    check(re.search(r"parapet-init: uptime", outcome.out), "init's marker is missing", outcome)
    statistics = outcome.statistics
    equal(statistics["outcome"], "powered-off", "outcome", outcome)
    equal(statistics["memory_bytes"], mebibytes << 20, "memory_bytes", outcome)
    inside = statistics["domain"]
    equal(inside["kernel_version"], release, "kernel_version", outcome)
    if harness.options.home != "auto":
        equal(inside["home"], harness.options.home, "home", outcome)
    check(0 < inside["time_to_init_s"] < inside["run_s"], "time_to_init_s is out of place", outcome)
    check(0 < inside["guest_uptime_at_init_s"] <= inside["time_to_init_s"] * 1.5 + 1, "guest_uptime_at_init_s", outcome)
    for name in ("build_s", "memory_overhead_bytes", "guest_touched_bytes"):
        check(inside[name] > 0, f"{name} is not positive", outcome)
    for name in ("exits", "hypercalls", "exceptions", "nucleus", "kvm"):
        check(isinstance(inside[name], dict) and inside[name], f"{name} is empty", outcome)
    check(inside["hypercalls"].get("mmu_update", 0) > 0, "no mmu_update was counted", outcome)
    return (f"{inside['substrate']}, {inside['home']}: init after {inside['time_to_init_s']:.2f} s, "
            f"overhead {inside['memory_overhead_bytes'] / 1048576:.1f} MiB")


@test
def generic_512m():
    return boots("generic", "512M", 512)


@test
def cloud_256m():
    return boots("cloud", "256M", 256)


@test
def cloud_shuffled():
    """Machine and pseudo-physical frame numbers that have nothing in common."""
    return boots("cloud", "256M", 256, popen={"env": {**harness.os.environ, "PARAPET_SHUFFLE": "4711"}})


@test
def across_the_gap():
    """More memory than lies below 4 GiB minus the hole for devices; only what the guest touches is the host's."""
    with open("/proc/meminfo", encoding="ascii") as file:
        free = int(re.search(r"MemAvailable: *(\d+) kB", file.read()).group(1)) // 1024
    if free < 5000:
        raise harness.Skip(f"the host has only {free} MiB free")
    return boots("cloud", "4500M", 4500)


harness.main()
