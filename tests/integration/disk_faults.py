# SPDX-License-Identifier: Apache-2.0
"""Disks that fail under a running Linux guest: full, truncated, removed, broken, a server that dies and returns.

With on-error=report the guest sees an I/O error, with wait it waits and goes on when the fault is gone; nothing that it
wrote is lost, the log says what happened, and the domain lives on. One guest serves all tests: each attaches a disk of
its own and detaches it.
"""
import contextlib
import os
import signal
import subprocess
import time

import faults_lib as lib
import guest_shell
import harness
from guest_shell import holds, kill, let_look, shared, spec
from harness import Failure, check, equal, test

MIB = lib.MIB


@test
def truncated_reports():
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        with guest.disk(spec(image, "report")):
            guest.does("put xvdb 8")
            let_look()
            os.truncate(image, 4 * MIB)
            before = guest.log()
            guest.fails("put xvdb 8", "error")
            guest.says("xvdb: writing", before)
            guest.says("the image ends before it, as it was truncated", before)
            guest.fails("get xvdb 8", "error")
            equal(os.path.getsize(image), 4 * MIB, "size of the file, which the guest's writes must not bring back")
            guest.does("put xvdb 3")
            guest.does("get xvdb 3")
            os.truncate(image, 16 * MIB)
            let_look()
            guest.does("put xvdb 8")
            holds(image, 3, 8)


@test
def truncated_waits():
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        with guest.disk(spec(image, "wait")):
            guest.does("put xvdb 8")
            let_look()
            os.truncate(image, 4 * MIB)
            before = guest.log()
            guest.later("far", "put xvdb 9")
            guest.waits("far", 3)
            guest.does("put xvdb 1")  # what is there is served all the while
            guest.says("the guest waits until it works", before)
            equal(os.path.getsize(image), 4 * MIB, "size of the file")
            os.truncate(image, 16 * MIB)
            guest.ends("far")
            guest.says("works again", before)
            holds(image, 1, 9)


@test
def removed_goes_on():
    with lib.folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        with guest.disk(spec(image, "report")):
            guest.does("put xvdb 3")
            os.unlink(image)
            guest.does("put xvdb 8; sync; get xvdb 3 && get xvdb 8")


@contextlib.contextmanager
def small_folder():
    """A tmpfs of 20 MiB, of which a file takes 12: an image of 16, sparse at first, gets no more than 8 of them."""
    guest_shell.namespaces()
    with lib.folder() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20M", "tmpfs", folder], check=True)
        try:
            with open(folder + "/ballast", "wb") as file:
                file.write(bytes(12 * MIB))
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


FILL = "dd if=/dev/zero of=/dev/xvdb bs=1M count=12 oflag=direct conv=notrunc"


@test
def full_reports():
    with small_folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        with guest.disk(spec(image, "report")):
            before = guest.log()
            guest.fails(FILL + " 2>&1")
            guest.says("No space left on device", before)
            guest.does("get xvdb 15; put xvdb 3 && get xvdb 3")  # what has its blocks works on
            os.unlink(folder + "/ballast")
            guest.does("put xvdb 14")
            holds(image, 3, 14)


@test
def full_waits():
    with small_folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        with guest.disk(spec(image, "wait")):
            before = guest.log()
            guest.later("fill", FILL)
            guest.waits("fill", 3)
            guest.says("No space left on device; the guest waits until it works", before)
            os.unlink(folder + "/ballast")
            guest.ends("fill")
            guest.says("works again", before)
            guest.does("put xvdb 11; sync")
            holds(image, 11)


@test
def detached_while_it_waits():
    """A guest that waits for a disk is no reason why the disk could not go."""
    with small_folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        with guest.disk(spec(image, "wait")):
            guest.later("fill", FILL)
            guest.waits("fill", 2)
            guest.detach("xvdb", "--force")
            guest.ends("fill", 1)
            guest.attach("disk", spec(image, "wait"))
            guest.does("device /dev/xvdb; get xvdb 3; put xvdb 3")


@contextlib.contextmanager
def server(folder, *more):
    """Starts nbdkit, whose socket is folder/nbd.sock, as often as it is told to."""
    running = []

    def start():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder + "/nbd.sock")
        running.append(subprocess.Popen(["nbdkit", "-f", "-U", folder + "/nbd.sock", *more],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        harness.wait_until(lambda: os.path.exists(folder + "/nbd.sock"), "nbdkit's socket")
        return running[-1]

    def die():
        kill(running[-1])

    try:
        yield start, die
    finally:
        for process in running:
            kill(process)


def uri(folder):
    return f"nbd+unix:///?socket={folder}/nbd.sock"


@test
def broken_reports_and_waits():
    """EIO, from a disk that says so while a file is there."""
    guest = shared()
    for on_error in ("report", "wait"):
        with lib.folder() as folder:
            image = lib.image(folder + "/disk", 16)
            with server(folder, "file", image, "--filter=error", "error=EIO", "error-rate=100%",
                        f"error-file={folder}/broken") as (start, _):
                start()
                with guest.disk(spec(uri(folder), on_error)):
                    guest.does("put xvdb 1")
                    before = guest.log()
                    with open(folder + "/broken", "w", encoding="utf-8"):
                        pass
                    if on_error == "report":
                        guest.fails("put xvdb 2", "error")
                        guest.fails("get xvdb 1", "error")
                        guest.says("failed: Input/output error", before)
                    else:
                        guest.later("read", "get xvdb 1")
                        guest.later("write", "put xvdb 2")
                        guest.waits("read")
                        guest.waits("write", 0)
                        guest.says("failed: Input/output error; the guest waits until it works", before)
                    os.unlink(folder + "/broken")
                    if on_error == "wait":
                        guest.ends("read")
                        guest.ends("write")
                        guest.says("works again", before)
                    guest.does("put xvdb 3; get xvdb 1 && sync")
                    holds(image, *([1, 3] if on_error == "report" else [1, 2, 3]))


@test
def server_dies_and_returns():
    """Back within 30 seconds, nobody notices; later than that, report gets errors and wait waits. Both disks at once."""
    guest = shared()
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(lib.folder()) for _ in range(2)]
        images = [lib.image(folder + "/disk", 16) for folder in folders]
        servers = [stack.enter_context(server(folder, "file", image)) for folder, image in zip(folders, images)]
        for start, _ in servers:
            start()
        stack.enter_context(guest.disk(spec(uri(folders[0]), "report")))
        stack.enter_context(guest.disk(spec(uri(folders[1]), "wait", "xvdc"), "xvdc"))
        before = guest.log()
        guest.does("put xvdb 1; put xvdc 1")
        for start, die in servers:
            die()
        guest.later("b", "put xvdb 2")
        guest.later("c", "put xvdc 2")
        guest.waits("b")
        guest.waits("c", 0)
        guest.says("the NBD server is gone; requests wait for it", before)
        for start, die in servers:
            start()
        for name in "bc":
            guest.ends(name)
        guest.says("the NBD server is back", before)
        holds(images[0], 1, 2)
        holds(images[1], 1, 2)

        before = guest.log()
        for start, die in servers:
            die()
        guest.later("b", "put xvdb 3")
        guest.later("c", "put xvdc 3")
        begin = time.monotonic()
        guest.ends("b", 1, 50)
        check(time.monotonic() - begin > 25, f"it has waited only {time.monotonic() - begin:.0f} s", guest)
        guest.says("the NBD server has stayed away; requests get an error until it is back", before)
        guest.fails("put xvdb 4", "error", limit=5)
        guest.waits("c", 0)
        for start, die in servers:
            start()
        guest.ends("c")
        harness.wait_until(lambda: guest.run("put xvdb 5")[0] == 0, "xvdb's return", 10)
        guest.does("put xvdc 5; sync")
        holds(images[0], 5)
        holds(images[1], 3, 5)


@test
def detached_while_its_server_is_away():
    """By force in no time, also when the server is there but says nothing, and after a detach that waits."""
    guest = shared()
    for silent, patient_first in ((False, False), (True, False), (False, True)):
        with lib.folder() as folder:
            image = lib.image(folder + "/disk", 16)
            with server(folder, "file", image) as (start, die):
                process = start()
                guest.attach("disk", spec(uri(folder), "report"))
                guest.does("device /dev/xvdb; put xvdb 1")
                if silent:
                    process.send_signal(signal.SIGSTOP)
                else:
                    die()
                guest.later("write", "put xvdb 2")
                guest.waits("write", 1)
                if patient_first:
                    outcome = harness.run([harness.PARAPET, "detach", "faults", "xvdb", "--timeout", "2s"])
                    equal(outcome.status, 124, "status of a detach that waits", outcome)
                begin = time.monotonic()
                guest.detach("xvdb", "--force")
                took = time.monotonic() - begin
                check(took < 2 * harness.options.factor, f"detach --force took {took:.1f} s", guest)
                guest.ends("write", 1)
                guest.does("gone /dev/xvdb")
                if silent:
                    process.send_signal(signal.SIGCONT)


@test
def all_is_well():
    """What the guest went through has left nothing behind."""
    guest_shell.end_of_shared()


@test
def ends_while_a_request_waits():
    """SIGTERM: ten seconds for the guest, which hangs in its write, then the process goes; nothing is left in it."""
    with small_folder() as folder:
        image, guest = lib.image(folder + "/disk", 16), shared()
        guest.attach("disk", spec(image, "wait"))
        guest.does("device /dev/xvdb")
        guest.later("fill", FILL)
        guest.waits("fill")
        guest.process.send_signal(signal.SIGTERM)
        try:
            equal(guest.process.wait(40 * harness.options.factor), 143, "status", guest)
        except subprocess.TimeoutExpired:
            raise Failure("the domain does not end" + guest.describe()) from None


if __name__ == "__main__":
    guest_shell.in_namespaces("-m")
    harness.main()
