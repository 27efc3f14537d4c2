# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: running things bounded in time, medians, and the one JSON object that each prints."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def arguments(**more):
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--home", default="auto")
    for name, keywords in more.items():
        parser.add_argument("--" + name.replace("_", "-"), **keywords)
    return parser.parse_args()


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio(ours, theirs):
    return ours / theirs if ours is not None and theirs else None


def run(command, limit, **keywords):
    """stdout of the command, its end to the minute of `limit`; a failure ends the benchmark with its last words."""
    begin = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, **keywords)
    except subprocess.TimeoutExpired:
        sys.exit(f"bench: not done within {limit} s: {' '.join(command)}")
    took = time.monotonic() - begin
    out = done.stdout.decode(errors="replace").replace("\r", "")
    err = done.stderr.decode(errors="replace").replace("\r", "")
    if done.returncode != 0:
        sys.exit(f"bench: status {done.returncode} of: {' '.join(command)}\n{out[-2000:]}\n{err[-2000:]}")
    return out, err, took


def parapet(build, options, limit=120, environment=None):
    """One domain: its console (the emergency one too), parapet's statistics, seconds from command to end."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [build + "/tools/parapet/parapet", "run", "--no-reboot", "--timeout", f"{limit}s",
                   "--json", file.name, *options]
        out, err, took = run(command, limit + 30, env={**os.environ, **(environment or {})})
        with open(file.name, encoding="utf-8") as text:
            return out + err, json.load(text), took


def where():
    """The machine, as far as it bears on the figures."""
    def first(path, default="?"):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return default
    load = os.environ.get("PARAPET_BENCH_LOAD") or first("/proc/loadavg").split()[0]  # of the machine below the rig
    rig = os.path.exists("/sys/module/kvm_amd") and "parapet.work=" in first("/proc/cmdline")
    return {"in_rig": rig, "host_kernel": os.uname().release, "cpus": os.cpu_count(), "load_at_start": load}


def finish(result):
    json.dump(result, sys.stdout)
    print(flush=True)
