# SPDX-License-Identifier: Apache-2.0
"""Boots one kernel three ways in the same surroundings: as a domain of parapet, as an ordinary KVM guest of QEMU, and as
the initial domain of Xen in a KVM guest. JSON on stdout."""
import json
import os
import sys
import tempfile

from common import TOP, arguments, finish, median, parapet, ratio, run, say, where

def cmdline(options):
    return f"quiet mitigations=off panic=-1 {options.append}".strip()


def on_parapet(options, cache):
    out, statistics, took = parapet(
        options.build, ["--home", options.home, "--memory", f"{options.memory}M",
                        "--cmdline", "console=hvc0 " + cmdline(options), "--kernel", options.kernel,
                        "--initrd", options.initrd], 300, {"XDG_CACHE_HOME": cache})
    domain = statistics["domain"]
    return {"uptime_at_init_s": domain.get("guest_uptime_at_init_s"), "time_to_init_s": domain.get("time_to_init_s"),
            "command_to_poweroff_s": took, "memory_overhead_bytes": domain.get("memory_overhead_bytes"),
            "kernel_version": domain.get("kernel_version")}


def on_reference(options, name):
    out, _, took = run([f"{TOP}/tools/reference/{name}", "--kernel", options.kernel, "--initrd", options.initrd,
                        "--memory", str(options.memory), "--cmdline", cmdline(options), "--timeout", "300"], 330)
    found = json.loads(out)
    return {"uptime_at_init_s": found["time_to_init_s"], "command_to_poweroff_s": found["command_to_poweroff_s"]}


def middle(runs):
    keys = [key for key in runs[0] if isinstance(runs[0][key], (int, float))]
    return {**{key: median([one.get(key) for one in runs]) for key in keys}, "runs": runs}


def main():
    options = arguments(kernel={"required": True}, initrd={"required": True}, memory={"type": int, "default": 512},
                        no_reference={"action": "store_true"}, append={"default": ""},
                        only={"default": "parapet+qemu-kvm+xen-kvm"})
    place = where()
    wanted = options.only.split("+")
    if unknown := set(wanted) - {"parapet", "qemu-kvm", "xen-kvm"}:
        sys.exit(f"bench boot: unknown way {unknown.pop()}: there are parapet, qemu-kvm and xen-kvm")
    ways = ["parapet"] + [way for way in wanted if way != "parapet" and not options.no_reference]
    runs = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as cache:
        for file in (options.kernel, options.initrd, options.build + "/tools/parapet/parapet"):
            with open(file, "rb") as content:  # the rig's file system would make the first way pay for reading
                while content.read(1 << 20):
                    pass
        say("parapet with an empty kernel cache")
        cold = on_parapet(options, cache)
        for number in range(options.repeat + 1):
            for way in ways:
                if number == 0 and way == "parapet":
                    continue  # the cold run has warmed its files up
                label = f"round {number} of {options.repeat}" if number else "once to warm up"
                say(f"{way}, {label}")
                one = on_parapet(options, cache) if way == "parapet" else on_reference(options, way)
                if number:
                    runs[way].append(one)
    result = {way: middle(found) for way, found in runs.items()}
    ours = result["parapet"]
    ratios = {}
    for way in ways[1:]:
        ratios[way] = {key: ratio(ours[key], result[way][key]) for key in ("uptime_at_init_s", "command_to_poweroff_s")}
        ratios[way]["command_to_poweroff_cold"] = ratio(cold["command_to_poweroff_s"],
                                                       result[way]["command_to_poweroff_s"])
    finish({"benchmark": "boot", "where": place, "memory_mib": options.memory, "kernel": cold["kernel_version"],
            "cmdline": cmdline(options), "repeat": options.repeat, "parapet_cold": cold,
            "results": result, "ratios": ratios})


main()
