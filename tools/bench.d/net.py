# SPDX-License-Identifier: Apache-2.0
"""TCP between guest and host over a tap, as a domain of parapet and in QEMU with virtio-net. Runs in a network namespace of
its own (tools/bench makes it). JSON on stdout."""
import json
import os
import subprocess
import sys
import tempfile

from common import arguments, finish, median, ratio, say, where
from machines import Guest, measure, parapet_command, qemu_command

TAP, MAC = "bench0", "00:16:3e:00:00:01"
TESTS = ("to-guest-1500", "to-host-1500", "to-guest-500", "to-host-500", "round-trips")


def ip(*words):
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: ip {' '.join(words)}: {done.stderr.strip()}")


def on_parapet(options, guest):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        found = measure(parapet_command(options.build, options.home, guest, file.name,
                                        ["--vif", f"tap={TAP},mac={MAC}"]), guest.limit, "traffic", "count", True)
        with open(file.name, encoding="utf-8") as text:
            domain = json.load(text).get("domain", {})
    return found, {key: domain[key] for key in ("io", "devices", "exits") if key in domain}


def on_qemu(guest, vhost):
    return measure(qemu_command(guest, [
        "-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no,vhost={'on' if vhost else 'off'}",
        "-device", f"virtio-net-pci,netdev=net,mac={MAC},romfile="]), guest.limit, "traffic", "count"), {}


def middle(runs):
    def of(values):
        if isinstance(values[0], dict):
            return {key: of([value.get(key, 0) for value in values]) for key in values[0]}
        return median(values)
    return {test: of([one[test] for one in runs]) for test in runs[0]}


def main():
    options = arguments(kernel={"required": True}, initrd={"required": True}, memory={"type": int, "default": 512},
                        ms={"type": int, "default": 2500}, no_reference={"action": "store_true"}, only={"default": ""})
    place = where()
    ways = ["parapet"] + ([] if options.no_reference else ["qemu"])
    if len(ways) > 1 and os.path.exists("/dev/vhost-net"):
        ways.append("qemu-vhost")  # reported only: the host's kernel does the work
    ways = options.only.split("+") if options.only else ways
    guest = Guest(options.kernel, options.initrd, options.memory, f"bench.ms={options.ms}")
    ip("link", "set", "lo", "up")
    ip("tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr")
    ip("addr", "add", "192.0.2.1/24", "dev", TAP)
    ip("link", "set", TAP, "up")
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", options.build + "/tools/bench.d/bench_traffic", "serve",
                               "5001"], stdout=subprocess.DEVNULL)
    runs, more = {way: [] for way in ways}, {}
    try:
        for number in range(options.repeat):
            for way in ways:
                say(f"{way}, round {number + 1} of {options.repeat}")
                one, more[way] = on_parapet(options, guest) if way == "parapet" else on_qemu(guest, way == "qemu-vhost")
                runs[way].append(one)
    finally:
        server.kill()
    results = {way: middle(found) for way, found in runs.items()}
    rows = []
    for test in TESTS:
        row = {"test": test, **{way: results[way][test] for way in ways}}
        ours = results.get("parapet", {}).get(test, {})
        for way in ways:
            if way != "parapet":
                row[f"{way}_ratio"] = {key: ratio(ours.get(key), results[way][test].get(key))
                                       for key in ("per_s", "cpu_s", "cpu_host_s")}
        rows.append(row)
    finish({"benchmark": "net", "where": place, "repeat": options.repeat, "memory_mib": options.memory,
            "kernel": os.path.basename(options.kernel), "rows": rows,
            "syscalls": {way: {test: found[test] for test in found if test.startswith("count-")}
                         for way, found in results.items()}, "runs": runs, "more": more})


main()
