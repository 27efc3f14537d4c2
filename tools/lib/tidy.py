# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over sources of a build, but not again over what passed before with the same contents.

usage: tidy.py CLANG-TIDY BUILD-DIR CACHE-DIR SOURCE...

A source that the build does not compile is left out. What passed is remembered by a hash of the tool's version, its
configuration, the compile command, and every file that the compiler read (the build's own dependencies, so the build
must be up to date). Findings go to standard output; the status is 1 where there are any.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

MAX_AGE_DAYS = 30  # of what passed and was not asked for since


def file_hash(path, known={}):
    if path not in known:
        known[path] = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    return known[path]


def dependencies(build):
    """Of each object, what its compiler read, as ninja remembers it."""
    output = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True, text=True).stdout
    found, current = {}, None
    for line in output.splitlines():
        if line.startswith("    "):
            current.append(os.path.normpath(os.path.join(build, line.strip())))
        elif ": #deps" in line:
            current = found.setdefault(line.split(":")[0], [])
    return found


def object_of(entry):
    """What the command writes; CMake before 3.27 does not say it by itself."""
    words = entry["command"].split()
    return words[words.index("-o") + 1]


def key_of(entry, files, common):
    digest = hashlib.sha256(common)
    digest.update(entry["command"].encode())
    for path in sorted(files):
        digest.update(f"{path} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def check(tool, build, source):
    return subprocess.run([tool, "-p", build, "--quiet", source], capture_output=True, text=True)


def forget_old(cache):
    limit = time.time() - MAX_AGE_DAYS * 86400
    for entry in cache.iterdir():
        if entry.stat().st_mtime < limit:
            entry.unlink(missing_ok=True)


def main():
    tool, build, cache, *sources = sys.argv[1:]
    cache = pathlib.Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    forget_old(cache)
    common = subprocess.run([tool, "--version"], check=True, capture_output=True).stdout
    common += pathlib.Path(".clang-tidy").read_bytes()
    commands = {entry["file"]: entry for entry in json.loads(pathlib.Path(build, "compile_commands.json").read_text())}
    read = dependencies(build)
    wanted = {}
    for source in sources:
        entry = commands.get(os.path.abspath(source))
        if entry is None:
            continue
        files = read.get(object_of(entry))
        # Without dependencies nothing is known of it: it is checked, and not remembered.
        key = key_of(entry, files, common) if files else None
        if key is not None and (cache / key).exists():
            (cache / key).touch()
        else:
            wanted[source] = key
    print(f"clang-tidy: {len(wanted)} of {len(sources)} files are new or have changed", file=sys.stderr, flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running = {pool.submit(check, tool, build, source): source for source in wanted}
        for future in concurrent.futures.as_completed(running):
            source = running[future]
            done = future.result()
            if done.returncode != 0:
                failed += 1
                print(done.stdout + done.stderr, flush=True)
            elif wanted[source] is not None:
                (cache / wanted[source]).touch()
    sys.exit(1 if failed else 0)


main()
