# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Gives memory back by the balloon driver and takes it again; parapet.down=KIB is how much.
driver=/sys/devices/system/xen_memory/xen_memory0
total() { sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo; }
current() { cat $driver/info/current_kb; }
aim() { echo "$1" >$driver/target_kb; }
# reach KIB: waits until the driver has come there.
reach() {
    local tries=0
    until [ "$(current)" = "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "the balloon stays at $(current) of $1 KiB"
        usleep 100000
    done
}

full=$(current)
echo "full: $full"
echo "memory: $(total)"
down=$(parameter down)
# Use what will be given back, so that the host has something to take.
dd if=/dev/zero of=/tmp/fill bs=64k count=$((down / 64)) 2>/dev/null
rm /tmp/fill

aim $((full - down))
reach $((full - down))
echo "small: $(current)"
echo "small memory: $(total)"
[ "$(parameter up)" = no ] && return 0
aim "$full"
reach "$full"
echo "again: $(current)"
echo "again memory: $(total)"
# The memory is back: as much as before can be used and keeps what is written to it.
want=$(yes balloon | head -c $((down * 1024)) | md5sum)
yes balloon | head -c $((down * 1024)) >/tmp/fill || fail "the memory cannot be used again"
[ "$(md5sum </tmp/fill)" = "$want" ] || fail "the memory does not keep what is written to it"
rm /tmp/fill
