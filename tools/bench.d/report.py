# SPDX-License-Identifier: Apache-2.0
"""Turns a benchmark's JSON on stdin into tables, with what the figures must and should reach (the project's issues). report.py COMMAND-LINE: the command that gave them, printed above."""
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
    if must is None:
        return "aim reached" if (value >= aim if at_least else value <= aim) else "reported"
    reached = (lambda limit: value >= limit) if at_least else (lambda limit: value <= limit)
    return "aim reached" if reached(aim) else "must reached" if reached(must) else "FALLS SHORT"


def goals(rows):
    """rows: what, value, must, aim, unit[, at_least]."""
    print()
    body = []
    for what, value, must, aim, unit, *at_least in rows:
        sign = ">=" if at_least else "<="
        body.append([what, number(value, 3 if aim < 0.1 else 2) + unit,
                     f"{sign} {must}{unit}" if must is not None else "reported", f"{sign} {aim}{unit}",
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


def micro(seconds):
    return number(seconds * 1e6 if seconds is not None else None, 1)


def calls_table(calls):
    """What the process asked of its kernel, per unit of the counted loads."""
    for way, loads in calls.items():
        for load, found in loads.items():
            if found is not None:
                listed = ", ".join(f"{name} {value:.3f}" for name, value in sorted(found.items(), key=lambda one: -one[1]))
                print(f"system calls per request, {way}, {load}: {sum(found.values()):.3f} ({listed})")


def io(result):
    other = "fio" if any("fio" in row for row in result["rows"]) else "host"
    rows, checks = [], []
    for row in result["rows"]:
        ours, qemu, host_ = (row.get(way, {}) for way in ("parapet", "qemu", other))
        ratio, host_ratio = row.get("qemu_ratio", {}), row.get(other + "_ratio", {})
        rows.append([row["load"], number(ours.get("per_s"), 0), number(qemu.get("per_s"), 0), number(ratio.get("per_s")),
                     number(host_.get("per_s"), 0), number(host_ratio.get("per_s")),
                     micro(ours.get("cpu_s")), micro(qemu.get("cpu_s")), number(ratio.get("cpu_s")),
                     micro(ours.get("cpu_host_s")), micro(qemu.get("cpu_host_s")), number(ratio.get("cpu_host_s"))])
        random = row["load"].startswith("rand")
        checks.append((f"{row['load']} against QEMU", ratio.get("per_s"), 1.0, 1.5 if random else 1.2, "x", True))
        checks.append((f"{row['load']} against {other} on the host", host_ratio.get("per_s"), None, 0.8, "x", True))
    for row in result["rows"]:
        if row["load"].startswith("rand"):
            checks.append((f"host CPU per I/O, {row['load']}", row.get("qemu_ratio", {}).get("cpu_s"), 1.0, 0.6, "x"))
    table(["load", "I/O/s", "QEMU", "ratio", other, "ratio", "CPU us", "QEMU", "ratio", "host's us", "QEMU", "ratio"], rows)
    print("CPU: all processor time of the process per I/O, the guest's included, which is what is judged; host's: without what")
    print("the virtual CPU spent in the guest (sampled by the host's ticks).")
    calls_table(result["syscalls"])
    for load, found in result["syscalls"].get("parapet", {}).items():
        checks.append((f"system calls per I/O at depth 64, {load.removeprefix('count-')}",
                       sum(found.values()) if found is not None else None, 0.5, 0.05, ""))
    goals(checks)


def net(result):
    rows, checks = [], []
    for row in result["rows"]:
        trips = row["test"] == "round-trips"
        def figure(way, key="per_s"):
            value = row.get(way, {}).get(key)
            if value is None or trips:
                return value
            return value * 8 / 1e6 if key == "per_s" else value * 1e6  # Mbit/s; seconds per MB
        ratio = row.get("qemu_ratio", {})
        rows.append([row["test"] + (", trips/s" if trips else ", Mbit/s"), number(figure("parapet"), 0),
                     number(figure("qemu"), 0), number(ratio.get("per_s")), number(figure("qemu-vhost"), 0),
                     micro(figure("parapet", "cpu_s")), micro(figure("qemu", "cpu_s")), number(ratio.get("cpu_s"))])
        checks.append((f"{row['test']} against QEMU", ratio.get("per_s"), 1.0, 1.2 if trips else 1.3, "x", True))
    table(["test", "parapet", "QEMU", "ratio", "QEMU, vhost", "CPU us", "QEMU", "ratio"], rows)
    print("CPU: all processor time of the process, the guest's included, per MB or round trip.")
    calls_table({way: {test: {name: value * 65536 / found["count"] for name, value in found["syscalls"].items()}
                       if found["syscalls"] is not None else None for test, found in tests.items()}
                 for way, tests in result["syscalls"].items()})
    print("There, a request is 64 KiB of the stream.")
    goals(checks)


def debian(result):
    table([f"Debian, {result['kernel']}, {result['memory_mib']} MiB", "command to prompt, s", "all runs"],
          [[way, number(value), " ".join(number(one) for one in result["runs"][way])]
           for way, value in result["login_s"].items()])
    goals([("systemd login against QEMU", result["ratio"], 1.0, 0.7, "x")])


def main():
    result = json.load(sys.stdin)
    place = result["where"]
    print("command: " + " ".join(sys.argv[1:]))
    print(f"on: {'the laptop rig (tools/laptop), ' if place['in_rig'] else ''}Linux {place['host_kernel']}, "
          f"{place['cpus']} CPUs, load {place['load_at_start']}; medians of {result['repeat']}\n")
    {"trap": trap, "boot": boot, "host": host, "io": io, "net": net,
     "debian": debian}[result["benchmark"]](result)


main()
