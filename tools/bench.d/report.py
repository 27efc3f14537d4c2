# SPDX-License-Identifier: Apache-2.0
"""Turns a benchmark's JSON on stdin into tables, with what the figures must and should reach (issue "Boot Debian's stock
kernel"). report.py COMMAND-LINE: the command that gave them, printed above."""
import json
import sys


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def table(head, rows):
    rows = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for index, row in enumerate(rows):
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
        if index == 0:
            print("  ".join("-" * width for width in widths))


def verdict(value, must, aim, at_least=False):
    if value is None:
        return "not measured"
    reached = (lambda limit: value >= limit) if at_least else (lambda limit: value <= limit)
    return "aim reached" if reached(aim) else "must reached" if reached(must) else "FALLS SHORT"


def goals(rows):
    """rows: what, value, must, aim, unit[, at_least]."""
    print()
    body = []
    for what, value, must, aim, unit, *at_least in rows:
        sign = ">=" if at_least else "<="
        body.append([what, number(value) + unit, f"{sign} {must}{unit}", f"{sign} {aim}{unit}",
                     verdict(value, must, aim, bool(at_least))])
    table(["goal", "measured", "must", "aim", ""], body)


def trap(result):
    rows, found = [], {}
    for row in result["rows"]:
        steps, exits = row["instructions"] or {}, row.get("exits") or {}
        found[row["operation"]] = row
        kvm = exits.get("kvm") or {}
        classes = " ".join(f"{name}={value:.2f}" for name, value in kvm.items()
                           if name != "exits" and (name.endswith("exits") or name in ("insn_emulation", "irq_injections",
                                                                                     "signal_exits", "pf_taken")))
        rows.append([row["operation"], number(row["ns"], 0), number(row["xen_ns"], 0), number(row["ratio"]),
                     number(steps.get("ring0"), 0), number(steps.get("ring3"), 0), exits.get("user", "-"),
                     exits.get("operations", "-"), number(exits.get("kvm_total")), classes])
    table(["operation", "ns", "Xen ns", "ratio", "ring 0", "ring 3", "user exits", "in", "KVM exits/op", "of them"], rows)
    print("ring 0, ring 3: nucleus instructions per operation, single-stepped. user exits: to the vmm process, in so many")
    print("operations. KVM exits/op: all exits of the VM to the host kernel, the host's own interrupts included.")
    def get(name, *keys):
        value = found.get(name)
        for key in keys:
            value = value.get(key) if value else None
        return value
    def whole(name):
        steps = get(name, "instructions")
        return steps["ring0"] + steps["ring3"] if steps and steps["ring3"] is not None else None
    checks = [(f"{name} against Xen", get(name, "ratio"), 1.0, 0.7, "")
              for name in ("null_hypercall", "page_fault_user", "mmu_update_128")]
    checks += [("instructions: system call and back", whole("syscall_return"), 80, 50, ""),
               ("instructions: page fault and iret", whole("page_fault_user"), 120, 70, "")]
    checks += [(f"user exits: {name}", get(name, "exits", "user"), 0, 0, "") for name in found if get(name, "exits")]
    goals(checks)


def boot(result):
    cold = result["parapet_cold"]
    rows = [["parapet"] + [number(result["results"]["parapet"][key]) for key in ("uptime_at_init_s",
                                                                                 "command_to_poweroff_s")]]
    rows.append(["parapet, kernel cache empty", number(cold["uptime_at_init_s"]), number(cold["command_to_poweroff_s"])])
    for way, found in result["results"].items():
        if way != "parapet":
            rows.append([way, number(found["uptime_at_init_s"]), number(found["command_to_poweroff_s"])])
    table([f"{result['kernel']}, {result['memory_mib']} MiB", "uptime at init, s", "command to power-off, s"], rows)
    print("parapet keeps decompressed kernels; all but the second row have found it so. Each way ran once before, unmeasured.")
    ratios = result["ratios"]
    def get(way, key):
        return ratios.get(way, {}).get(key)
    goals([("time to init against QEMU's guest", get("qemu-kvm", "uptime_at_init_s"), 1.3, 0.8, "x"),
           ("time to init against Xen", get("xen-kvm", "uptime_at_init_s"), 0.8, 0.5, "x"),
           ("command to power-off against QEMU's guest", get("qemu-kvm", "command_to_poweroff_s"), 0.7, 0.4, "x"),
           ("the same with an empty kernel cache", get("qemu-kvm", "command_to_poweroff_cold"), 0.7, 0.4, "x")])


def host(result):
    boot_ = result["boot"]
    print(f"{result['kernel_version']}, {result['memory_mib']} MiB, on {result['substrate']}, core's home {result['home']}")
    print(f"init after {number(boot_['time_to_init_s'])} s (guest's clock {number(boot_['uptime_at_init_s'])} s), built in "
          f"{number(boot_['build_s'])} s, {number(boot_['command_to_poweroff_s'])} s in all\n")
    rows, found = [], {}
    for row in result["rows"]:
        found[row["operation"]] = row
        rows.append([row["operation"], number(row["guest_ns"] / 1000), number(row["host_ns"] / 1000 if row["host_ns"] else None),
                     number(row["host_over_guest"], 3), number(row["best_host_over_guest"], 3)])
    table(["operation", "guest us", "host us", "host/guest", "best/best"], rows)
    def us(name):
        return found[name]["guest_ns"] / 1000 if name in found else None
    compute = found.get("compute", {}).get("host_over_guest")
    overhead = boot_["memory_overhead_bytes"]
    goals([("time to init", boot_["time_to_init_s"], 20, 8, " s"),
           ("fork, exit and wait", us("fork_exit_wait") / 1000 if us("fork_exit_wait") else None, 3, 1, " ms"),
           ("getppid", us("getppid"), 60, 30, " us"), ("compute-bound, share of the host's speed", compute, 0.95, 0.99, "", True),
           ("memory beyond the guest's own", overhead / 2**20 if overhead else None, 12, 5, " MiB")])


def main():
    result = json.load(sys.stdin)
    place = result["where"]
    print("command: " + " ".join(sys.argv[1:]))
    print(f"on: {'the laptop rig (tools/laptop), ' if place['in_rig'] else ''}Linux {place['host_kernel']}, "
          f"{place['cpus']} CPUs, load {place['load_at_start']}; medians of {result['repeat']}\n")
    {"trap": trap, "boot": boot, "host": host}[result["benchmark"]](result)


main()
