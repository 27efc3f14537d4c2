#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Init of domain 0 on real Xen (tools/reference/xen-domu), run by busybox: lays an overlay on tmpfs over the host's files,
# starts xenstored and xenconsoled, and runs the work folder's script with bash. The first port of virtio-serial is its
# output; its last line there has the script's status.

give_up() {
    echo "xen-dom0: $*" >/dev/console
    poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module" || give_up "cannot load $module"
done </modules/order
read -r cmdline </proc/cmdline
for word in $cmdline; do
    case $word in
    parapet.work=*) work=${word#*=} ;;
    parapet.out=*) out=${word#*=} ;;
    esac
done
[ -n "$work" ] || give_up "no parapet.work= on the kernel's command line"

share=trans=virtio,version=9p2000.L,msize=1048576
mount -t 9p -o "$share,ro,cache=loose" host /host || give_up "cannot mount the host's files"
mount -t tmpfs -o size=60% tmpfs /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work overlay /root ||
    give_up "cannot lay the overlay over the host's files"
for folder in proc sys dev; do
    mount --move /$folder /root/$folder || give_up "the host's /$folder is no folder to mount on"
done
mount -t tmpfs run /root/run
mount -t xenfs xenfs /root/proc/xen || give_up "this is no domain 0"
mkdir -p /root/dev/pts
mount -t devpts devpts /root/dev/pts
ln -s /proc/self/fd /root/dev/fd
if [ -n "$out" ]; then
    mount -t 9p -o "$share,rw,cache=none" out "/root$out" || give_up "cannot mount $out to write in it"
fi
tries=0
until [ -e /root/dev/vport0p1 ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || give_up "the virtio-serial port did not appear"
    usleep 10000
done
# shellcheck disable=SC2016 # the inner shell's
chroot /root /bin/bash -c '
    export PATH=/usr/lib/xen-4.17/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
    mkdir -p /run/xen /run/xenstored /run/lock /var/lib/xenstored /var/lib/xen /var/log/xen/console
    { oxenstored || xenstored
      for _ in {1..50}; do ! xenstore-exists / || break; sleep 0.1; done
      xen-init-dom0; xenconsoled --log=guest --log-dir=/var/log/xen/console; } >/run/xen/start.log 2>&1
    cat /run/xen/start.log
    exec >/dev/vport0p1 2>&1
    bash "$0/script"
    echo "xen-domu-status $?"' "$work" </dev/null >/dev/console 2>&1
poweroff -f
