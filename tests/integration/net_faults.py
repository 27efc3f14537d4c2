# SPDX-License-Identifier: Apache-2.0
"""Network interfaces that fail under a running Linux guest, are attached and detached: taps, passt; a driver loaded anew.

In a network namespace of the test's own. One guest serves all tests; its disk must notice nothing.
"""
import contextlib
import os
import signal
import subprocess

import faults_lib as lib
import guest_shell
import harness
from guest_shell import PASST_GUEST, PASST_HOST, holds, server, spec
from harness import check, equal, test, wait_until

HOST, GUEST = "10.9.0.1", "10.9.0.2"  # on a tap


def shared():
    guest_shell.namespaces()
    return guest_shell.shared()


def ip(words):
    done = subprocess.run(["ip", *words.split()], check=False, capture_output=True, text=True)
    check(done.returncode == 0, f"ip {words}: {done.stderr}")
    return done.stdout


def tap_spec(name="tap0", more=""):
    return f"tap,vifname={name},mac=00:16:3e:00:00:02{more}"


def host_up(name="tap0"):
    ip(f"addr add {HOST}/24 dev {name}")


PING = f"try ping -c 1 -W 1 {HOST}"


@contextlib.contextmanager
def vif(guest, text, device="eth0"):
    try:
        equal(guest.attach("vif", text), "vif0", "the name of what was attached", guest)
        yield
        guest.detach("vif0")
        guest.does(f"gone /sys/class/net/{device}")
    except BaseException:
        guest_shell.discard()
        raise


@contextlib.contextmanager
def beside(guest):
    """A disk that works before and after what happens to the interface."""
    with lib.folder() as folder:
        image = lib.image(folder + "/disk", 16)
        with guest.disk(spec(image)):
            guest.does("put xvdb 1")
            yield
            guest.does("put xvdb 2; get xvdb 1 && get xvdb 2")
        holds(image, 1, 2)


@test
def comes_and_goes():
    """Attached, used, detached, three times; refusals are one sentence."""
    guest = shared()
    for _ in range(3):
        with vif(guest, tap_spec()):
            guest.interface_up(GUEST)
            host_up()
            guest.does(PING)
            equal(guest.does("cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu").split(), ["00:16:3e:00:00:02", "1500"],
                  "MAC and MTU", guest)
            equal(guest.devices()["vif0"]["state"], "connected", "what list says", guest)
            for text, sentence in ((tap_spec(), "tap0"), (tap_spec("tap1", ",devid=0"), "has a device 'vif0' already"),
                                   ("tap=none", "there is no interface none"), ("tap,bridge=none", "no such bridge")):
                guest.refused("attach", "faults", "vif", text, sentence=sentence)
        equal(guest.devices(), {}, "devices after detach", guest)
        check("tap" not in ip("-br link"), "the tap has outlived its interface")


@test
def two_at_once():
    guest = shared()
    with vif(guest, tap_spec()):
        guest.attach("vif", "tap,vifname=tap1")
        guest.interface_up(GUEST)
        guest.does("device /sys/class/net/eth1")
        guest.detach("vif1")
        guest.does("gone /sys/class/net/eth1")
        host_up()
        guest.does(PING)


@test
def tap_goes_down_and_up():
    guest = shared()
    with beside(guest), vif(guest, tap_spec()):
        guest.interface_up(GUEST)
        host_up()
        guest.does(PING)
        for _ in range(2):
            before = guest.log()
            ip("link set tap0 down")
            guest.fails(f"ping -c 2 -W 1 {HOST}")
            guest.says("vif/0: tap0 is down", before)
            ip("link set tap0 up")
            guest.does(PING)
            guest.says("vif/0: tap0 is up again", before)


@test
def tap_deleted():
    """It does not come back; another one can be attached instead."""
    guest = shared()
    with beside(guest):
        for _ in range(2):
            ip("tuntap add tap7 mode tap vnet_hdr")
            ip("link set tap7 up")
            with vif(guest, "tap=tap7,mac=00:16:3e:00:00:02"):
                guest.interface_up(GUEST)
                host_up("tap7")
                guest.does(PING)
                before = guest.log()
                ip("link del tap7")
                guest.fails(f"ping -c 2 -W 1 {HOST}")
                guest.says("vif/0: tap7 is gone: the interface has no carrier any more; detach it and attach another", before)
                equal(len(guest.log()[len(before):].splitlines()), 1, f"lines in the log: {guest.log()[len(before):]}", guest)


def passts():
    """Those of this network namespace."""
    found, mine = [], os.readlink("/proc/self/ns/net")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read().startswith("passt") and os.readlink(f"/proc/{pid}/ns/net") == mine:
                    found.append(int(pid))
    return found


@test
def passt_killed():
    """One line, no carrier; the domain and its disk go on, and another interface can take its place."""
    guest = shared()
    with beside(guest), server("127.0.0.1") as port:
        fetch = f"fetch {PASST_HOST} {port}"
        for _ in range(2):
            with vif(guest, "user"):
                guest.interface_up(PASST_GUEST)
                guest.does(fetch)
                before = guest.log()
                equal(len(passts()), 1, "passts that run")
                os.kill(passts()[0], signal.SIGKILL)
                guest.says("vif/0: passt is gone: the interface has no carrier any more; detach it and attach another", before)
                guest.fails(f"ping -c 2 -W 1 {PASST_HOST}")
                equal(len(guest.log()[len(before):].splitlines()), 1, f"lines in the log: {guest.log()[len(before):]}", guest)
        with vif(guest, "user"):
            guest.interface_up(PASST_GUEST)
            guest.does(fetch)
        wait_until(lambda: not passts(), "the end of passt after detach")


@test
def driver_reloaded():
    """Unbound from its device, unloaded, and everything back again."""
    guest = shared()
    with vif(guest, tap_spec()):
        guest.interface_up(GUEST)
        host_up()
        guest.does(PING)
        again = f"device /sys/class/net/eth0 && ip addr add {GUEST}/24 dev eth0 && ip link set eth0 up && {PING}"
        driver = "/sys/bus/xen/drivers/vif"
        for _ in range(3):
            guest.does(f"echo vif-0 >{driver}/unbind && gone /sys/class/net/eth0 && rmmod xen_netfront && "
                       f"insmod /modules/*xen-netfront* && {again}")
        for _ in range(3):
            guest.does(f"echo vif-0 >{driver}/unbind && gone /sys/class/net/eth0 && echo vif-0 >{driver}/bind && {again}")
        equal(guest.devices()["vif0"]["state"], "connected", "what list says", guest)


@test
def all_is_well():
    """What the guest went through has left nothing behind."""
    shared()
    guest_shell.end_of_shared()


if __name__ == "__main__":
    guest_shell.in_namespaces("-m", "-n")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    harness.main()
