# SPDX-License-Identifier: Apache-2.0
"""Times guests/bench's operations as a domain of parapet and, in the same surroundings, of Xen in a KVM guest; counts
nucleus instructions (PARAPET_STEP) and VM exits (KVM's statistics, long run less short run). JSON on stdout."""
import collections
import json
import os
import re
import subprocess
import tempfile

from common import arguments, finish, median, parapet, run, say, where

# Name in guests/bench: whether its instructions are counted. Others of that guest by --operations.
OPERATIONS = ["null_hypercall", "multicall_16", "syscall_return", "page_fault_user", "page_fault_kernel",
              "update_va_mapping", "mmu_update_1", "mmu_update_16", "mmu_update_128", "pin_unpin_l4", "root_switch",
              "context_switch", "event_self", "set_timer_op", "timer", "block_pending", "block_timer", "yield"]
WAITING = {"timer", "block_timer"}  # each waits 0.2 ms for its deadline
STEPS = (1, 3)                      # repetitions of the two stepped runs


def lines(console):
    """name -> nanoseconds per operation, of bench's lines."""
    found = {}
    for name, iterations, ns in re.findall(r"^bench: (\S+) iters=(\d+) tsc=\d+ ns=([0-9.]+)", console, re.M):
        found[name] = float(ns)
    for name, error in re.findall(r"^bench: (\S+) error=(\S+)", console, re.M):
        say(f"{name} failed ({error})")
    return found


def on_parapet(options, cmdline, limit=120, environment=None):
    return parapet(options.build, ["--home", options.home, "--memory", "64M", "--cmdline", cmdline,
                                   options.build + "/guests/bench"], limit, environment)


def on_xen(options, cmdline, limit=240):
    command = ["timeout", "-k", "2", str(limit), "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults",
               "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-M", "pc", "-accel", "kvm",
               "-cpu", "host,-smap,-smep", "-m", "384", "-kernel", options.xen,
               "-initrd", f"{options.build}/guests/bench {cmdline}", "-append", "console=com1 dom0_mem=128M"]
    return run(command, limit + 10)[0]


def times(options, names):
    ours, theirs = {}, {}
    for round_ in range(options.repeat):
        cmdline = f"target_ms={options.target_ms} only=" + "+".join(names)
        say(f"times, round {round_ + 1} of {options.repeat}: parapet" + (", Xen" if options.xen else ""))
        for name, ns in lines(on_parapet(options, cmdline)[0]).items():
            ours.setdefault(name, []).append(ns)
        if options.xen:
            for name, ns in lines(on_xen(options, cmdline)).items():
                theirs.setdefault(name, []).append(ns)
    return ours, theirs


def exits(options, name, ns):
    """Exits per operation: a long run less a short one. Exits to the process are exact, KVM's own have some noise from
    the host's interrupts."""
    short = 10
    more = 400 if name in WAITING else int(min(max(2e8 / max(ns or 1e4, 1), 200), 50000))
    found = []
    for count in (short, short + more):
        statistics = on_parapet(options, f"iters={count} only={name}")[1]["domain"]
        found.append(({key: value for key, value in statistics["exits"].items()}, statistics["kvm"]))
    (user0, kvm0), (user1, kvm1) = found
    def change(before, after):
        keys = sorted(set(before) | set(after))
        return {key: (after.get(key, 0) - before.get(key, 0)) / more for key in keys}
    kvm = change(kvm0, kvm1)
    return {"operations": more, "user": sum(user1.values()) - sum(user0.values()), "user_by_reason": change(user0, user1),
            "kvm_total": kvm.get("exits"), "kvm": {key: value for key, value in kvm.items() if round(value, 2) != 0}}


def profile(options, name, executed):
    """On stderr: in which lines of the source the nucleus's instructions of one operation were, those with most first."""
    elf = f"{options.build}/hypercall-emu/{options.profile}/nucleus-{options.profile}.elf"
    addresses = [va for va, times in executed.items() if times > 0]
    out = subprocess.run(["addr2line", "--functions", "--basenames", "--demangle", "--exe", elf, *addresses], text=True,
                         check=True, capture_output=True).stdout.splitlines()
    lines = collections.Counter()
    for va, function, place in zip(addresses, out[::2], out[1::2]):
        lines[f"{place.split(' ')[0]} {function.split('(')[0]}"] += executed[va]
    say(f"{name}: {sum(lines.values()):.0f} instructions")
    for place, times in lines.most_common():
        say(f"  {times:8.1f}  {place}")


def instructions(options, names):
    """name -> nucleus instructions per operation at ring 0 and ring 3, guest instructions, entries into ring 0."""
    runs = []
    for count in STEPS:
        say(f"instructions: single-stepping {count} of each")
        with tempfile.NamedTemporaryFile() as file:
            on_parapet(options, f"mode=step iters={count} only=" + "+".join(names), 600,
                         {"PARAPET_STEP": file.name, "PARAPET_SANDBOX": "off"})
            with open(file.name, encoding="utf-8") as text:
                runs.append({record["operation"]: record for record in map(json.loads, text)})
    few, many = runs
    span = STEPS[1] - STEPS[0]
    for name in names if options.profile else []:
        profile(options, name, {va: (times - few[name]["at"].get(va, 0)) / span for va, times in many[name]["at"].items()})
    return {name: {key: (many[name][key] - few[name][key]) / span for key in ("ring0", "ring3", "guest", "entries")}
            for name in names if name in few and name in many}


def main():
    options = arguments(xen={"default": ""}, target_ms={"type": int, "default": 200}, operations={"default": ""},
                        no_steps={"action": "store_true"}, no_exits={"action": "store_true"},
                        profile={"default": "", "choices": ["", "ring0", "ring3"]})
    names = options.operations.split("+") if options.operations else OPERATIONS
    place = where()
    ours, theirs = times(options, names)
    steps = {} if options.no_steps else instructions(options, names)
    domain = on_parapet(options, "list")[1]["domain"]
    if domain["substrate"] == "kvm-pvm":
        for one in steps.values():
            one["ring3"] = None  # native code is not stepped there
    rows = []
    for name in names:
        row = {"operation": name, "ns": median(ours.get(name, [])), "ns_all": ours.get(name, []),
               "xen_ns": median(theirs.get(name, [])), "xen_ns_all": theirs.get(name, [])}
        row["ratio"] = row["ns"] / row["xen_ns"] if row["ns"] and row["xen_ns"] else None
        row["instructions"] = steps.get(name)
        if not options.no_exits:
            say(f"exits: {name}")
            row["exits"] = exits(options, name, row["ns"])
        rows.append(row)
    finish({"benchmark": "trap", "where": place, "substrate": domain["substrate"], "home": domain["home"],
            "repeat": options.repeat, "rows": rows})


main()
