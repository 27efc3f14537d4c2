# SPDX-License-Identifier: Apache-2.0
"""No operation of the hot paths leaves the VM to the vmm process: guests/bench does each of them few and many times, and
the exits that the statistics count must not differ. So says docs/architecture.md: system call, page fault, context switch,
page-table updates, timer, event, block and unblock. Where the processor helps KVM, a timer also costs no more exits to the
host kernel than the two that there must be: arming it, and its interrupt; and an answer of the host that is there when the
doorbell's exit ends is taken there (in home ring0), not by an exit of its own.

usage: zero_exits.py BUILD-FOLDER [parapet run's OPTION]...
"""
import json
import os
import subprocess
import sys
import tempfile

# operation of guests/bench: how many repetitions the long run has more than the short one
OPERATIONS = {"null_hypercall": 2000, "syscall_return": 2000, "page_fault_user": 2000, "page_fault_kernel": 2000,
              "update_va_mapping": 2000, "mmu_update_1": 2000, "mmu_update_16": 500, "mmu_update_128": 100,
              "pin_unpin_l4": 100, "root_switch": 500, "context_switch": 500, "event_self": 1000, "set_timer_op": 1000,
              "timer": 400, "block_pending": 1000, "block_timer": 100, "yield": 1000,
              "xenstore_read": 200}
FEW = 10
# For each, of KVM's counters, and in which homes. The host's own interrupts are among the exits; an end of interrupt would
# be a third.
MOST_BY_KVM = {"timer": ("exits", 2.6, ("ring0", "ring3")), "xenstore_read": ("irq_window_exits", 0.5, ("ring0",))}


def domain(build, options, cmdline):
    """The statistics of one domain that ran guests/bench, and what it said."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        done = subprocess.run([build + "/tools/parapet/parapet", "run", "--memory", "64M", "--timeout", "60s",
                               "--no-reboot", "--json", file.name, *options, "--cmdline", cmdline,
                               build + "/guests/bench"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=90)
        text = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode != 0 or "failures=0" not in text:
            sys.exit(f"FAIL {cmdline}: status {done.returncode}\n{text}")
        with open(file.name, encoding="utf-8") as statistics:
            return json.load(statistics)["domain"], text


def bench(build, options, operation, count):
    """The statistics of a domain that did the operation so many times."""
    statistics, text = domain(build, options, f"iters={count} only={operation}")
    if f"bench: {operation} iters={count} " not in text:
        sys.exit(f"FAIL {operation}: it did not run {count} times\n{text}")
    return statistics


def exits(statistics):
    """Exits to the process by reason. Those that a signal from the host made are not the guest's."""
    return {reason: number for reason, number in statistics["exits"].items() if reason != "signal"}


def main():
    build, options = os.path.abspath(sys.argv[1]), sys.argv[2:]
    failed = 0
    for operation, more in OPERATIONS.items():
        short, long = (bench(build, options, operation, count) for count in (FEW, FEW + more))
        few, many = exits(short), exits(long)
        good = few == many and sum(few.values()) > 0  # the console's and the power-off's are always there
        said = f"{few} in {FEW}, {many} in {FEW + more}"
        counter, most, homes = MOST_BY_KVM.get(operation, (None, None, ()))
        if long["home"] in homes and long["substrate"] in ("kvm_intel", "kvm_amd"):
            if "exits" not in long["kvm"]:
                sys.exit(f"FAIL {operation}: the statistics have no number of KVM's exits; they need Linux 5.15")
            each = (long["kvm"].get(counter, 0) - short["kvm"].get(counter, 0)) / more  # zeroes are left out
            good = good and each <= most
            said += f", {each:.2f} {counter} of the host kernel for each"
        failed += not good
        print(f"{'PASS' if good else 'FAIL'} {operation}: {said}", flush=True)
    # The statistics can tell: each marker of a stepped operation (HYPERVISOR_console_io) does leave the VM.
    without = sum(domain(build, options, "list")[0]["exits"].values())
    marked = sum(domain(build, options, "mode=step only=null_hypercall")[0]["exits"].values())
    if marked != without + 2:
        failed += 1
        print(f"FAIL: {marked} exits with two markers, {without} without: the counters do not count")
    sys.exit(1 if failed else 0)


main()
