#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The console: bytes unchanged in both directions, slow and vanishing readers, files, terminals."""
import contextlib
import fcntl
import hashlib
import os
import random
import re
import select
import signal
import subprocess
import tempfile
import termios
import time

import harness
from harness import Conversation, check, domain, domain_command, equal, test
from terminal import Terminal


def sentences(outcome):
    return [line for line in outcome.err.splitlines() if line.startswith("parapet: ")]


@test
def round_trip():
    """A megabyte of every byte value but Ctrl-O, SysRq on this console, goes in by stdin and comes back by stdout."""
    data = random.Random(1).randbytes(1 << 20).replace(b"\x0f", b"\xf0")
    with Conversation(domain_command("console", cmdline=f"parapet.bytes={len(data)}")) as guest:
        guest.expect(b"console: ready")
        os.set_blocking(guest.process.stdin.fileno(), False)
        left, end = memoryview(data), time.monotonic() + 120 * harness.options.factor
        while left:
            check(select.select([], [guest.process.stdin], [], max(0, end - time.monotonic()))[1],
                  f"the guest did not take the last {len(left)} bytes", guest.outcome())
            try:
                left = left[os.write(guest.process.stdin.fileno(), left):]
            except BrokenPipeError:
                raise harness.Failure("the domain ended" + guest.finish().describe()) from None
        os.set_blocking(guest.process.stdin.fileno(), True)
        guest.expect(b"console: begin")
        outcome = guest.finish(120)
    equal(outcome.status, 0, "exit status", outcome)
    digest = hashlib.md5(data).hexdigest()
    check(f"console: md5 {digest}" in outcome.out, "the guest got other bytes than were sent", outcome)
    back = outcome.raw.split(b"console: begin\r\n" if b"console: begin\r\n" in outcome.raw else b"console: begin\n", 1)[1]
    equal(hashlib.md5(back[:len(data)]).hexdigest(), digest, "MD5 of what came back")


@test
def slow_reader():
    """A reader that stops reading for a while loses nothing."""
    with Conversation(domain_command("flood", cmdline="parapet.bytes=300000")) as guest:
        guest.expect(b"flood: begin")
        time.sleep(3)
        outcome = guest.finish()
    equal(outcome.status, 0, "exit status", outcome)
    lines = outcome.out.split("flood: begin\n", 1)[1].split("\n")
    end = lines.index("flood: end")
    check(all(line == str(i + 1) for i, line in enumerate(lines[:end - 2])), "lines are lost or out of order", outcome)


@test
def reader_that_never_reads():
    """Who reads nothing cannot keep the domain from ending."""
    begin = time.monotonic()
    command = domain_command("flood", limit=20)
    with Conversation(command) as guest:
        guest.expect(b"flood: begin")
        guest.process.wait(timeout=60 * harness.options.factor)
        outcome = guest.finish()
    equal(outcome.status, 124, "exit status", outcome)
    check(time.monotonic() - begin < 20 * harness.options.factor + 15, "the end took too long", outcome)


@contextlib.contextmanager
def unread_log(lines):
    """A domain whose guest logs far more to standard error than that pipe holds; until it is done with it."""
    command = domain_command("log", cmdline=f"earlyprintk=xen,keep printk.devkmsg=on parapet.lines={lines}")
    with Conversation(command) as guest:
        fcntl.fcntl(guest.process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        guest.expect(b"log: end", 60)
        yield guest


@test
def log_that_is_read_late():
    """Standard error that is full stops neither the guest nor its console, and nothing is lost."""
    lines = 100
    with unread_log(lines) as guest:
        outcome = guest.finish()
    equal(outcome.status, 0, "exit status", outcome)
    there = re.findall(r"log: line (\d+), .* nobody reads$", outcome.err, re.M)
    equal(there, [str(line) for line in range(lines)], "lines on standard error", outcome)


@test
def log_that_nobody_reads():
    """It does not keep the domain from ending either."""
    with unread_log(100) as guest:
        begin = time.monotonic()
        guest.process.wait(timeout=30 * harness.options.factor)
        took = time.monotonic() - begin
        outcome = guest.finish()
    equal(outcome.status, 0, "exit status", outcome)
    return f"ended after {took:.1f} s"


@test
def reader_goes_away():
    """A console that closes mid-run ends the domain with one sentence and a status of its own."""
    process = subprocess.Popen(domain_command("flood", limit=60), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        seen = b""
        while b"flood: begin" not in seen:
            data = os.read(process.stdout.fileno(), 4096)
            check(data, f"the guest did not come to its flood; it said {seen!r}")
            seen += data
        process.stdout.close()
        begin = time.monotonic()
        _, err = process.communicate(timeout=30 * harness.options.factor)
    except subprocess.TimeoutExpired:
        raise harness.Failure("the domain goes on without a console") from None
    finally:
        harness.kill_group(process)
    outcome = harness.Outcome(process.args, process.returncode, seen, err, time.monotonic() - begin, None)
    equal(outcome.status, 1, "exit status", outcome)
    equal(len(sentences(outcome)), 1, "sentences", outcome)
    check("console" in outcome.err, "the sentence does not name the console", outcome)


@test
def console_to_a_file():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "console")
        outcome = domain("boot", extra=["--console", path], stdin=None)
        equal(outcome.status, 0, "exit status", outcome)
        equal(outcome.out, "", "standard output", outcome)
        with open(path, encoding="utf-8", errors="replace") as file:
            check("test: PASS" in file.read(), "the file lacks the guest's last line", outcome)
        equal(os.listdir(folder), ["console"], "files left", outcome)


@test
def no_console():
    outcome = domain("boot", extra=["--console", "none"])
    equal((outcome.status, outcome.out), (0, ""), "status and standard output", outcome)


@test
def terminal_restored():
    """By power-off, by Ctrl-], by signals and by a guest that crashes, the terminal is as it was.

    SIGTERM asks the guest to power off, and this one does; SIGINT ends the domain."""
    for how, status in (("poweroff", 0), ("escape", 0), ("term", 0), ("int", 130), ("crash", 3)):
        terminal = Terminal(domain_command("orders"))
        terminal.expect(b"orders: ready")
        check(termios.tcgetattr(terminal.slave) != terminal.before, "the terminal is not raw while the guest runs")
        if how == "escape":
            os.write(terminal.master, b"\x1d")
        elif how in ("term", "int"):
            terminal.process.send_signal(signal.SIGTERM if how == "term" else signal.SIGINT)
        else:
            os.write(terminal.master, b"panic\r" if how == "crash" else b"poweroff\r")
        outcome = terminal.finish()
        equal(outcome.status, status, f"exit status after {how}", outcome)


@test
def terminal_hangs_up():
    """A terminal that is closed ends the domain."""
    terminal = Terminal(domain_command("orders"))
    terminal.expect(b"orders: ready")
    os.close(terminal.slave)
    os.close(terminal.master)
    try:
        _, err = terminal.process.communicate(timeout=30 * harness.options.factor)
    except subprocess.TimeoutExpired:
        terminal.process.kill()
        raise harness.Failure("the domain goes on without a terminal") from None
    outcome = harness.Outcome(terminal.process.args, terminal.process.returncode, terminal.out, err, 0, None)
    check(outcome.status > 0, "exit status is zero, or a signal", outcome)
    equal(len(sentences(outcome)), 1, "sentences", outcome)


harness.main()
