# SPDX-License-Identifier: Apache-2.0
"""Boots the cloud kernel and times small operations of a process in it and, by the same program, on the host. JSON on
stdout."""
import re

from common import arguments, finish, median, parapet, ratio, run, say, where


def lines(text):
    """name -> (median, best) nanoseconds."""
    return {name: (float(ns), float(best))
            for name, ns, best in re.findall(r"^micro: (\S+) ([0-9.]+) best ([0-9.]+)$", text, re.M)}


def add(into, found):
    for name, value in found.items():
        into.setdefault(name, []).append(value)


def main():
    options = arguments(kernel={"required": True}, initrd={"required": True}, memory={"type": int, "default": 256})
    place = where()
    guest, host, boots = {}, {}, []
    for number in range(options.repeat):
        say(f"round {number + 1} of {options.repeat}: guest, then host")
        out, statistics, took = parapet(
            options.build, ["--home", options.home, "--memory", f"{options.memory}M", "--kernel", options.kernel,
                            "--initrd", options.initrd, "--cmdline", "console=hvc0 quiet mitigations=off panic=-1"], 900)
        add(guest, lines(out))
        domain = statistics["domain"]
        boots.append({"time_to_init_s": domain.get("time_to_init_s"), "build_s": domain.get("build_s"),
                      "uptime_at_init_s": domain.get("guest_uptime_at_init_s"), "command_to_poweroff_s": took,
                      "memory_overhead_bytes": domain.get("memory_overhead_bytes"),
                      "guest_touched_bytes": domain.get("guest_touched_bytes"), "exits": domain.get("exits"),
                      "kvm": domain.get("kvm")})
        add(host, lines(run([options.build + "/tools/bench.d/bench_micro"], 300)[0]))
    rows = []
    for name, values in guest.items():
        others = host.get(name, [])
        row = {"operation": name, "guest_ns": median([ns for ns, _ in values]), "guest_ns_all": values,
               "host_ns": median([ns for ns, _ in others]), "host_ns_all": others}
        row["host_over_guest"] = ratio(row["host_ns"], row["guest_ns"])
        # Other load only adds time: where this differs much from the medians' ratio, the machine was not quiet.
        row["best_host_over_guest"] = ratio(min(best for _, best in others), min(best for _, best in values))
        rows.append(row)
    keys = ("time_to_init_s", "uptime_at_init_s", "build_s", "command_to_poweroff_s", "memory_overhead_bytes",
            "guest_touched_bytes")
    finish({"benchmark": "host", "where": place, "substrate": domain["substrate"], "home": domain["home"],
            "kernel_version": domain["kernel_version"], "memory_mib": options.memory, "repeat": options.repeat,
            "boot": {**{key: median([one[key] for one in boots]) for key in keys}, "runs": boots}, "rows": rows})


main()
