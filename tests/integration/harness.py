# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: running `parapet`, booting the test initramfs, checking, one line per behaviour.

A test file defines functions decorated with @test and ends with harness.main(). Run on its own:
  PARAPET=path/to/parapet tests/integration/boots.py [--home ring0|ring3] [NAME]...
Environment: PARAPET, the command; PARAPET_WORK, the folder that `prepare` filled (default: beside the command's build).
"""
import argparse
import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARAPET = os.path.abspath(os.environ.get("PARAPET", os.path.join(TOP, "build/tools/parapet/parapet")))
BUILD = os.path.abspath(os.path.join(os.path.dirname(PARAPET), "../.."))
WORK = os.environ.get("PARAPET_WORK", os.path.join(BUILD, "tests/integration/work"))
PYTHON = "/usr/bin/python3"

options = argparse.Namespace(home="auto", names=[], verbose=False, factor=1.0)
tests = []


class Failure(Exception):
    """A check that did not hold; the text says which."""


class Skip(Exception):
    """The test has no meaning here; the text says why."""


def test(function):
    tests.append(function)
    return function


def check(condition, text, outcome=None):
    if not condition:
        raise Failure(text + (outcome.describe() if outcome else ""))


def equal(got, want, what, outcome=None):
    check(got == want, f"{what}: got {got!r}, want {want!r}", outcome)


def wait_until(condition, what, limit=30):
    """`what`: for the failure, a word or a function that gives the whole text."""
    end = time.monotonic() + limit * options.factor
    while not condition():
        check(time.monotonic() < end, f"{what}: not in time" if isinstance(what, str) else what())
        time.sleep(0.05)


def in_rig():
    return os.path.exists("/sys/module/kvm_amd") and not os.path.exists("/dev/disk")


def prepared(name):
    """The path of something that `prepare` made, or names in its list of kernels."""
    path = os.path.join(WORK, name)
    if not os.path.exists(path):
        sys.exit(f"there is no {path}: run tests/integration/prepare first")
    return path


def kernel(kind):
    return os.path.realpath(prepared("kernel-" + kind))


class Outcome:
    def __init__(self, command, status, out, err, seconds, statistics):
        self.command, self.status, self.raw, self.seconds = command, status, out, seconds
        self.out, self.err = text_of(out), text_of(err)
        self.statistics = statistics

    def describe(self):
        def tail(text):
            return "".join("\n      | " + line for line in text.splitlines()[-40:])
        return (f"\n    command: {' '.join(self.command)}\n    status {self.status} after {self.seconds:.1f} s"
                f"\n    stdout:{tail(self.out)}\n    stderr:{tail(self.err)}")


def text_of(data):
    return data.decode("utf-8", "backslashreplace").replace("\r", "")


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run(command, limit=60, stdin=b"", statistics=None, **popen):
    """Runs to the end; a command that is not done in time is a failure. Signals show as negative status."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **popen)
    try:
        out, err = process.communicate(stdin or None, timeout=limit * options.factor)
    except subprocess.TimeoutExpired:
        kill_group(process)
        out, err = process.communicate()
        raise Failure("not done in time" + Outcome(command, "none", out, err, time.monotonic() - begin, None).describe())
    except BaseException:
        kill_group(process)
        raise
    values = None
    if statistics:
        try:
            with open(statistics, encoding="utf-8") as file:
                values = json.load(file)
        except (OSError, ValueError) as error:
            raise Failure(f"no statistics in --json: {error}" +
                          Outcome(command, process.returncode, out, err, time.monotonic() - begin, None).describe())
    return Outcome(command, process.returncode, out, err, time.monotonic() - begin, values)


def parapet(*arguments, **keywords):
    return run([PARAPET, *arguments], **keywords)


def kvm_for_all(folder):
    """A device in `folder`, to be mounted over /dev/kvm, that anybody may use; -> its path."""
    path = os.path.join(folder, "kvm")
    try:
        os.mknod(path, stat.S_IFCHR, os.stat("/dev/kvm").st_rdev)
        os.chmod(path, 0o666)
    except OSError as error:
        raise Skip(f"no device can be made here: {error}") from None
    return path


def home_options():
    return [] if options.home == "auto" else ["--home", options.home]


def domain_command(script, kind="cloud", memory="256M", extra=(), cmdline="", limit=120, initrds=(), quiet=True,
                   kernel_path=None):
    """The command that boots Debian's kernel with the test initramfs and runs guest/SCRIPT.sh in it."""
    command = [PARAPET, "run", kernel_path or kernel(kind), "--initrd", prepared("initrd"), "--memory", memory,
               "--timeout", f"{int(limit * options.factor)}s", *home_options()]
    for initrd in initrds:
        command += ["--initrd", initrd]
    line = f"console=hvc0 {'quiet ' if quiet else ''}mitigations=off parapet.test={script} {cmdline}"
    return command + ["--cmdline", line.strip(), *extra]


def domain(script, limit=120, stdin=None, popen=None, **keywords):
    """Boots it and waits for its end, statistics included."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = domain_command(script, limit=limit, **keywords) + ["--json", file.name]
        outcome = run(command, limit=limit + 20, stdin=stdin, statistics=file.name, **(popen or {}))
    for name in ("name", "kernel", "memory_bytes", "outcome", "exit_status", "reboots", "seconds", "domain"):
        check(name in outcome.statistics, f"the statistics have no '{name}'", outcome)
    equal(outcome.statistics["exit_status"], outcome.status, "exit_status in the statistics", outcome)
    return outcome


def passes(outcome, status=0):
    """The guest's script ended well: its last line says so."""
    equal(outcome.status, status, "exit status", outcome)
    check("test: PASS" in outcome.out, "the guest's script did not end with 'test: PASS'", outcome)
    return outcome


def value(outcome, name):
    """The number in the guest's line `name: NUMBER`."""
    found = re.search(rf"^{re.escape(name)}: (-?\d+)", outcome.out, re.M)
    check(found, f"the guest did not print '{name}: NUMBER'", outcome)
    return int(found.group(1))


class Conversation:
    """A domain whose console is talked to while it runs."""

    def __init__(self, command, **popen):
        self.command, self.out, self.begin = command, b"", time.monotonic()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, start_new_session=True, **(pipes | popen))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            kill_group(self.process)

    def outcome(self, status="none", err=b""):
        return Outcome(self.command, status, self.out, err, time.monotonic() - self.begin, None)

    def expect(self, word, limit=120):
        """Reads until `word`, given as bytes, comes (again)."""
        end = time.monotonic() + limit * options.factor
        start = len(self.out)
        while word not in self.out[start:]:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                if self.process.poll() is None:
                    kill_group(self.process)
                raise Failure(f"{word!r} did not come" + self.outcome(
                    self.process.returncode, self.process.stderr.read() if self.process.stderr else b"").describe())
            self.out += data

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def finish(self, limit=60):
        try:
            out, err = self.process.communicate(timeout=limit * options.factor)
        except subprocess.TimeoutExpired:
            kill_group(self.process)
            raise Failure("the domain did not end in time" + self.outcome().describe())
        self.out += out
        return self.outcome(self.process.returncode, err or b"")


def main():
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--home", choices=["auto", "ring0", "ring3"], default="auto")
    parser.add_argument("--factor", type=float, default=1.0, help="more patience, for slow machines")
    parser.add_argument("--verbose", action="store_true", help="show what the guests print")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these tests")
    parser.parse_args(namespace=options)
    unknown = set(options.names) - {function.__name__ for function in tests}
    if unknown:
        sys.exit(f"there are no tests {', '.join(sorted(unknown))}; there are: "
                 + ", ".join(function.__name__ for function in tests))
    failed = skipped = 0
    chosen = [function for function in tests if not options.names or function.__name__ in options.names]
    for function in chosen:
        begin = time.monotonic()
        verdict = "ok"
        try:
            said = function()
        except Skip as reason:
            verdict, said, skipped = "skip", str(reason), skipped + 1
        except Failure as reason:
            verdict, said, failed = "FAIL", str(reason), failed + 1
        print(f"{verdict:4} {function.__name__} ({time.monotonic() - begin:.1f} s){': ' + said if said else ''}", flush=True)
    print(f"{len(chosen)} tests, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed else 77 if skipped and skipped == len(chosen) else 0)
