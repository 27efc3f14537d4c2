# SPDX-License-Identifier: Apache-2.0
"""One disk image under one kernel, as a domain of parapet and in QEMU with virtio-blk, and the same loads by a process of
the host. JSON on stdout."""
import json
import mmap
import os
import re
import shutil
import sys
import tempfile

from common import arguments, finish, median, ratio, run, say, where
from machines import Guest, measure, parapet_command, qemu_command


def make_image(path, mib):
    """A file without holes that direct I/O can be done on."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    except OSError as error:
        sys.exit(f"bench: {path}: {error.strerror}: direct I/O does not work in this folder; name another by --folder")
    with mmap.mmap(-1, 1 << 20) as block:
        block.write(os.urandom(1 << 20))
        for number in range(mib):
            os.pwrite(fd, block, number << 20)
    os.fsync(fd)
    os.close(fd)


def on_parapet(options, guest, image):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        found = measure(parapet_command(options.build, options.home, guest, file.name,
                                        ["--disk", f"{image},raw,xvdb,w"]), guest.limit, "load", "ios", True)
        with open(file.name, encoding="utf-8") as text:
            statistics = json.load(text)
    domain = statistics.get("domain", {})
    return found, {key: domain[key] for key in ("io", "devices", "disks", "exits") if key in domain}


def on_qemu(guest, image):
    return measure(qemu_command(guest, [
        "-object", "iothread,id=io", "-drive", f"if=none,id=disk,format=raw,file={image},aio=io_uring,cache=none",
        "-device", "virtio-blk-pci,drive=disk,iothread=io"]), guest.limit, "load", "ios"), {}


def on_host(options, image, loads):
    environment = {**os.environ, "LOAD_MS": str(options.ms)}
    out, _, _ = run([options.build + "/tools/bench.d/bench_load", image, *loads], 300, env=environment)
    return {name: {"per_s": int(ios) * 1e9 / int(ns)}
            for name, ios, ns in re.findall(r"load: end (\S+) ios (\d+) ns (\d+)", out)}, {}


def on_fio(options, image, loads):
    found = {}
    for load in loads:
        name, pattern, block, depth = load.split(":")
        out, _, _ = run(["fio", "--name=load", f"--filename={image}", f"--rw={pattern}", f"--bs={block}",
                         f"--iodepth={depth}", f"--iodepth_batch_submit={depth}", "--iodepth_batch_complete_min=1",
                         f"--iodepth_batch_complete_max={depth}", "--ioengine=io_uring", "--direct=1", "--time_based",
                         f"--runtime={options.ms}ms", "--ramp_time=300ms", "--norandommap", "--output-format=json"], 60)
        job = json.loads(out[out.index("{"):])["jobs"][0]
        found[name] = {"per_s": job["read"]["iops"] + job["write"]["iops"]}
    return found, {}


def middle(runs):
    """The medians of {load: {figure: number or {name: number}}} over the runs."""
    def of(values):
        if isinstance(values[0], dict):
            return {key: of([value.get(key, 0) for value in values]) for key in values[0]}
        return median(values)
    return {load: of([one[load] for one in runs]) for load in runs[0]}


def per_io(load):
    calls = load.get("syscalls")
    return {name: count / load["ios"] for name, count in calls.items()} if calls is not None else None


def main():
    options = arguments(kernel={"required": True}, initrd={"required": True}, loads={"required": True},
                        folder={"required": True}, size={"type": int, "default": 256}, memory={"type": int, "default": 512},
                        ms={"type": int, "default": 2500}, no_reference={"action": "store_true"},
                        only={"default": ""}, fio={"action": "store_true"})
    place = where()
    loads = options.loads.split()
    timed = [load for load in loads if not load.startswith("count-")]
    ways = ["parapet"] + ([] if options.no_reference else ["qemu"]) + ["fio" if options.fio else "host"]
    ways = options.only.split("+") if options.only else ways
    guest = Guest(options.kernel, options.initrd, options.memory,
                  f"bench.ms={options.ms} bench.loads={','.join(loads)}")
    os.makedirs(options.folder, exist_ok=True)
    work = tempfile.mkdtemp(prefix="parapet-bench.", dir=options.folder)
    runs, more = {way: [] for way in ways}, {}
    try:
        image = work + "/disk.img"
        say(f"writing a disk image of {options.size} MiB in {options.folder}")
        make_image(image, options.size)
        for number in range(options.repeat):
            for way in ways:
                say(f"{way}, round {number + 1} of {options.repeat}")
                one, more[way] = {"parapet": lambda: on_parapet(options, guest, image),
                                  "qemu": lambda: on_qemu(guest, image),
                                  "host": lambda: on_host(options, image, timed),
                                  "fio": lambda: on_fio(options, image, timed)}[way]()
                runs[way].append(one)
    finally:
        shutil.rmtree(work)
    results = {way: middle(found) for way, found in runs.items()}
    rows = []
    for name in (load.split(":")[0] for load in timed):
        row = {"load": name}
        ours = results.get("parapet", {}).get(name, {})
        for way in ways:
            row[way] = results[way][name]
            if way != "parapet":
                row[f"{way}_ratio"] = {key: ratio(ours.get(key), results[way][name].get(key))
                                       for key in ("per_s", "cpu_s", "cpu_host_s")}
        rows.append(row)
    calls = {way: {name: per_io(load) for name, load in found.items() if name.startswith("count-")}
             for way, found in results.items()}
    finish({"benchmark": "io", "where": place, "repeat": options.repeat, "size_mib": options.size,
            "memory_mib": options.memory, "kernel": os.path.basename(options.kernel), "rows": rows, "syscalls": calls,
            "runs": runs, "more": more})


main()
