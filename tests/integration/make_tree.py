# SPDX-License-Identifier: Apache-2.0
"""make_tree.py FOLDER FILES: writes FOLDER/tree.cpio, an initramfs that holds /load.tar.gz, a tree of FILES small files like
a kernel's sources, and FOLDER/tree.json, its number of files, size and the MD5 of all contents in the order of their
paths. Equal input gives equal output. 78000 files are as many as Linux 6.1 has."""
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile

WORDS = ("static int struct return if else for while unsigned long const void NULL goto out err ret dev page flags lock "
         "init exit probe remove register read write offset size count = == != -> ( ) { } ; , & | + - *").split()


def main():
    folder, files = sys.argv[1], int(sys.argv[2])
    described = os.path.join(folder, "tree.json")
    with open(__file__, "rb") as own:
        recipe = f"{files} {hashlib.md5(own.read()).hexdigest()}"
    if os.path.exists(described) and os.path.exists(os.path.join(folder, "tree.cpio")):
        with open(described, encoding="utf-8") as file:
            if json.load(file)["recipe"] == recipe:
                return
    chance = random.Random(42)
    blocks = [" ".join(chance.choices(WORDS, k=120)).encode() + b"\n" for _ in range(64)]
    paths = sorted(f"./linux/d{i % 40}/s{i // 40 % 25}/file-{i}.c" for i in range(files))
    total, digest = 0, hashlib.md5()
    archive = os.path.join(folder, "load.tar.gz")
    with open(archive, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0, filename="") as packed, \
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for path in paths:
            # Mostly small, a few large, some empty: like sources.
            kind = chance.random()
            count = 0 if kind < 0.01 else chance.randrange(100, 260) if kind > 0.995 else chance.randrange(1, 12)
            data = path.encode() + b"\n" + b"".join(chance.choices(blocks, k=count))
            if count == 0:
                data = b""
            digest.update(data)
            total += len(data)
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    subprocess.run([sys.executable, os.path.join(top, "tools/lib/mkcpio.py"), os.path.join(folder, "tree.cpio")],
                   input=f"file\t/load.tar.gz\t644\t{archive}\n".encode(), check=True)
    os.remove(archive)
    with open(described, "w", encoding="utf-8") as file:
        json.dump({"recipe": recipe, "files": files, "bytes": total, "md5": digest.hexdigest()}, file)


main()
