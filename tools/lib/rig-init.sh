#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Init of the laptop rig (tools/laptop), run by busybox as process 1 of the emulated machine: loads KVM, lays an overlay
# on tmpfs over the host's files, runs the command in it and hands its output and exit status to the host.
# Ports of virtio-serial: 1 the command's stdout, 2 its stderr, 3 its exit status.

give_up() {
    echo "parapet-rig: $*" >/dev/console
    poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module" || give_up "cannot load $module"
done </modules/order
ip link set lo up
hostname laptop

read -r cmdline </proc/cmdline
for word in $cmdline; do
    case $word in
    parapet.work=*) work=${word#*=} ;;
    parapet.interactive) interactive=yes ;;
    parapet.net) net=yes ;;
    esac
done
[ -n "$work" ] || give_up "no parapet.work= on the kernel's command line"

share=trans=virtio,version=9p2000.L,msize=1048576
mount -t 9p -o "$share,ro,cache=loose" host /host || give_up "cannot mount the host's files"
mount -t tmpfs -o size=75% tmpfs /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work overlay /root ||
    give_up "cannot lay the overlay over the host's files"
for folder in proc sys dev; do
    mount --move /$folder /root/$folder || give_up "the host's /$folder is no folder to mount on"
done

# What this run asked for beyond that: "FILE PARAMETER..." lines of modules, "DEVICE FOLDER" lines of ext4 disks.
while read -r module parameters; do
    # shellcheck disable=SC2086 # words
    insmod "/host$module" $parameters || give_up "cannot load $module"
done <"/host$work/modules"
if [ -n "$net" ]; then
    { ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2; } ||
        give_up "the network card cannot be set up"
    rm -f /root/etc/resolv.conf # perhaps a link
    echo nameserver 10.0.2.3 >/root/etc/resolv.conf
fi
while read -r disk folder; do
    [ -d "/root$folder" ] || mkdir -p "/root$folder"
    mount -t ext4 "/root/dev/$disk" "/root$folder" 2>/dev/null && continue
    { chroot /root /sbin/mkfs.ext4 -q -F "/dev/$disk" && mount -t ext4 "/root/dev/$disk" "/root$folder"; } ||
        give_up "cannot make or mount a file system on /dev/$disk"
done <"/host$work/mounts"
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
ln -s /proc/self/fd /root/dev/fd
ln -s /proc/self/fd/0 /root/dev/stdin
ln -s /proc/self/fd/1 /root/dev/stdout
ln -s /proc/self/fd/2 /root/dev/stderr

number=0
while read -r folder; do
    mount -t 9p -o "$share,rw,cache=mmap" "out$number" "/root$folder" || give_up "cannot mount $folder to write in it"
    number=$((number + 1))
done <"/root$work/out"

# The command's root is the root of a mount namespace, not a chroot, in which nobody may make user namespaces (passt does).
# shellcheck disable=SC2016 # $0 is the inner shell's
enter='cd /root && mount --move . / && exec chroot . /bin/bash "$0"'

tries=0
until [ -e /root/dev/vport0p3 ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || give_up "the virtio-serial ports did not appear"
    usleep 10000
done

if [ "$interactive" = yes ]; then
    # Port 0 is hvc0, the host's terminal.
    setsid -c unshare -m sh -c "$enter" "$work/run" <>/root/dev/hvc0 >&0 2>&1
    status=$?
else
    # Pipes in between: the ports themselves could not be opened again as /dev/stdout.
    mkfifo /out /err
    cat /out >/root/dev/vport0p1 &
    readers=$!
    cat /err >/root/dev/vport0p2 &
    readers="$readers $!"
    unshare -m sh -c "$enter" "$work/run" </dev/null >/out 2>/err
    status=$?
    # What the command left running may hold the pipes open: the readers get a moment, not for ever.
    (
        sleep 3
        # shellcheck disable=SC2086 # two numbers
        kill -9 $readers
    ) 2>/dev/null &
    # shellcheck disable=SC2086 # two numbers
    wait $readers
fi
echo "$status" >/root/dev/vport0p3
poweroff -f
