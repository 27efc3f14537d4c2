#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a guest does while it runs: memory given back and taken again, registers kept, the ways a domain ends."""
import harness
from harness import Conversation, check, domain, domain_command, equal, passes, test, value

DOWN = 64 << 10  # KiB that the balloon takes


@test
def balloon():
    down = domain("balloon", cmdline=f"parapet.down={DOWN} parapet.up=no")
    passes(down)
    check(value(down, "small memory") <= value(down, "memory") - DOWN, "MemTotal has not fallen", down)
    released = down.statistics["domain"]["frames_released"]
    check(released >= DOWN // 4, f"only {released} frames were released", down)
    touched_small = down.statistics["domain"]["guest_touched_bytes"]

    both = passes(domain("balloon", cmdline=f"parapet.down={DOWN}"))
    equal(value(both, "again"), value(both, "full"), "KiB after taking it again", both)
    equal(value(both, "again memory"), value(both, "memory"), "MemTotal after taking it again", both)
    touched_full = both.statistics["domain"]["guest_touched_bytes"]
    check(touched_small + (DOWN << 9) < touched_full,
          f"the host still holds {touched_small >> 20} MiB, with the memory in use {touched_full >> 20} MiB", both)
    return f"{released} frames released; {touched_small >> 20} MiB touched then, {touched_full >> 20} after using them again"


@test
def vector_state():
    outcome = passes(domain("vectors", cmdline="parapet.seconds=4"))
    return next(line for line in outcome.out.splitlines() if line.startswith("vectors: up to"))


@test
def programs_of_32_bits():
    """Static, by int 0x80 and by the vdso: SYSCALL on AMD's processors."""
    chosen = harness.options.home != "auto"
    for extra in [[]] if chosen else (["--home", "ring0"], ["--home", "ring3"]):
        outcome = passes(domain("user32", extra=extra))
        check("program32: all good" in outcome.out, "the program did not say that all was good", outcome)


@test
def store_of_others():
    """What is the host's to say, the guest may read but not write."""
    outcome = ordered(["read memory/target", "forbidden memory/target", "forbidden /local/domain/0/x", "poweroff"])
    equal((outcome.status, value(outcome, "value")), (0, 256 << 10), "status and memory/target", outcome)
    equal(outcome.out.count("refused: "), 2, "refusals", outcome)


def ordered(orders, extra=(), limit=60):
    """A domain told line by line; what it prints and how it ends."""
    with Conversation(domain_command("orders", extra=extra)) as guest:
        guest.expect(b"orders: ready")
        for order in orders:
            guest.send(order.encode() + b"\n")
            guest.expect(b"orders: " + order.split(" ")[0].encode())
        return guest.finish(limit)


@test
def poweroff_by_store():
    outcome = ordered(["store poweroff", "sleep 30"])
    equal(outcome.status, 0, "exit status", outcome)
    check("test: PASS" not in outcome.out, "the guest did not follow control/shutdown", outcome)


@test
def reboot_by_store():
    outcome = ordered(["store reboot", "sleep 30"], extra=["--no-reboot"])
    equal(outcome.status, 4, "exit status", outcome)
    lines = [line for line in outcome.err.splitlines() if line.startswith("parapet: ")]
    equal(len(lines), 1, "sentences about the reboot", outcome)


@test
def reboots_twice():
    with harness.tempfile.NamedTemporaryFile(suffix=".json") as file:
        with Conversation(domain_command("orders", extra=["--json", file.name])) as guest:
            for order in (b"reboot", b"store reboot\nsleep 30", b"poweroff"):
                guest.expect(b"orders: ready")
                guest.send(order + b"\n")
            outcome = guest.finish()
        equal(outcome.status, 0, "exit status", outcome)
        statistics = harness.json.load(file)
    equal(statistics["reboots"], 2, "reboots", outcome)
    equal(statistics["outcome"], "powered-off", "outcome", outcome)
    equal(outcome.out.count("orders: ready"), 3, "starts", outcome)


@test
def exit_code():
    outcome = ordered(["exit-code 42", "read data/exit-code", "poweroff"])
    check("value: 42" in outcome.out, "the store does not give back what was written", outcome)
    equal(outcome.status, 42, "exit status", outcome)


@test
def kernel_panic():
    outcome = ordered(["panic"])
    equal(outcome.status, 3, "exit status", outcome)
    check("sysrq triggered crash" in outcome.out, "the kernel's own last words are missing", outcome)
    check("crash" in outcome.err, "nobody says that the guest crashed", outcome)


@test
def timeout():
    """A guest that waits for ever is ended by --timeout, its last words kept."""
    outcome = harness.run(domain_command("orders", limit=25), stdin=None, limit=60)
    equal(outcome.status, 124, "exit status", outcome)
    check("orders: ready" in outcome.out, "what the guest said before is lost", outcome)


harness.main()
