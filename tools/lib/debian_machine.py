# SPDX-License-Identifier: Apache-2.0
"""A Debian machine from tools/debian-image in a domain: start it, reach it by ssh, end it. For the demo and the tests."""
import os
import re
import shlex
import socket
import subprocess
import tempfile
import time

from free_port import free_port

PARTITION_OFFSET = 1 << 20  # of the image's root, in bytes


class Trouble(Exception):
    """One sentence, and what the machine said last."""


def read_tail(path, lines=25):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join("  | " + line.rstrip() + "\n" for line in file.readlines()[-lines:])
    except OSError:
        return ""


class Machine:
    """`image`: a private copy, or a block device. `extra`: more words for `parapet run`."""

    def __init__(self, parapet, image, key, hosts, memory="512M", limit=900, extra=(), append="mitigations=off"):
        self.folder = tempfile.TemporaryDirectory(prefix="parapet-debian-")
        self.console = os.path.join(self.folder.name, "console")
        self.errors = os.path.join(self.folder.name, "errors")
        self.statistics = os.path.join(self.folder.name, "statistics.json")
        self.hosts, self.process, self.begin = hosts, None, None
        # ssh wants a key that only we can read, whatever the file system shows.
        self.key = os.path.join(self.folder.name, "key")
        with open(key, "rb") as source, open(os.open(self.key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as own:
            own.write(source.read())
        self.port = free_port()
        self.command = [parapet, "run", "--disk", f"{image},raw,xvda,w", "--vif", f"user,forward=tcp:{self.port}:22",
                        "--memory", memory, "--timeout", f"{limit}s", "--json", self.statistics,
                        *(["--append", append] if append else []), *extra]

    def start(self):
        self.begin = time.monotonic()
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([*self.command, "--console", self.console], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)

    def seconds(self):
        return time.monotonic() - self.begin

    def trouble(self, sentence):
        return Trouble(f"{sentence}\n  command: {shlex.join(self.command)}\n{read_tail(self.errors)}{read_tail(self.console)}")

    def last_line(self):
        """What the console said last, without colours."""
        try:
            with open(self.console, "rb") as file:
                file.seek(max(0, os.path.getsize(self.console) - 2000))
                text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b.|[^\x20-\x7e\n]", "", file.read().decode("utf-8", "replace"))
        except OSError:
            return ""
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return lines[-1] if lines else ""

    def ssh_command(self, *words):
        return ["ssh", "-F", "none", "-i", self.key, "-p", str(self.port), "-o", "IdentitiesOnly=yes",
                "-o", f"UserKnownHostsFile={self.hosts}", "-o", "GlobalKnownHostsFile=/dev/null",
                "-o", "HostKeyAlias=debian", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20",
                "-o", "ServerAliveInterval=20", "-o", "ServerAliveCountMax=10", "-o", "LogLevel=ERROR",
                *words]

    def ssh(self, script, limit=120, check=True):
        """Runs it in the machine; its output, both streams together."""
        try:
            done = subprocess.run(self.ssh_command("-o", "BatchMode=yes", "root@127.0.0.1", script), timeout=limit,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired:
            raise self.trouble(f"'{script}' was not done within {limit} s") from None
        text = done.stdout.decode("utf-8", "replace")
        if check and done.returncode != 0:
            raise self.trouble(f"'{script}' ended with status {done.returncode}:\n{text}")
        return text

    def wait_for_ssh(self, limit=300, waiting=lambda machine: None):
        """Until root can log in; `waiting` is called about each second."""
        while True:
            if self.process.poll() is not None:
                raise self.trouble(f"the machine ended with status {self.process.returncode} before anyone logged in")
            if self.seconds() > limit:
                raise self.trouble(f"nobody could log in within {limit} s")
            waiting(self)
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.settimeout(10)
                    # Debian 12's passt ends the handshake with the guest only when the client has said something.
                    connection.sendall(b"SSH-2.0-probe\r\n")
                    ready = connection.recv(4) == b"SSH-"
            except OSError:
                ready = False
            if ready:
                try:
                    self.ssh("true", limit=60)
                    return
                except Trouble:
                    pass  # it was still starting
            time.sleep(0.5)

    def boot_id(self):
        return self.ssh("cat /proc/sys/kernel/random/boot_id", limit=60).strip()

    def wait_for_reboot(self, boot_id, limit=300):
        """Until it runs again, under another boot_id than that of before."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise self.trouble(f"the machine ended with status {self.process.returncode} instead of rebooting")
            try:
                if self.boot_id() != boot_id:
                    return
            except Trouble:
                pass  # going down, or coming up
            time.sleep(0.5)
        raise self.trouble(f"the machine did not come back within {limit} s")

    def wait_for_end(self, limit=120):
        """Until the machine is off; its exit status."""
        try:
            return self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise self.trouble(f"the machine did not power off within {limit} s") from None

    def destroy(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()


def check_file_system(image):
    """What e2fsck finds on the root in an image that no machine uses: status and text. Changes nothing."""
    done = subprocess.run(["/sbin/e2fsck", "-f", "-n", f"{image}?offset={PARTITION_OFFSET}"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode("utf-8", "replace")
