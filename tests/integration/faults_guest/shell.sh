# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# The guest of disk_faults.py, net_faults.py, hotplug.py and cable.py: does what comes over the console, line by line.
dmesg -n 1 # nothing of the kernel's between our words; `dmesg` has it
for module in /modules/*; do insmod "$module" || echo "cannot load $module"; done
mkdir /mnt
ip link set lo up
yes 'a pattern that the host knows' | head -c 1048576 >/tmp/pattern

# try COMMAND...: until it succeeds, for some time.
try() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || return 1
        usleep 50000
    done
}
device() { try [ -e "$1" ]; }
gone() { try [ ! -e "$1" ]; }
# put DISK MIB, get DISK MIB: one MiB of the pattern to there, and is it there? Past the page cache.
put() { past_cache if=/tmp/pattern of="/dev/$1" seek="$2" oflag=direct conv=notrunc; }
get() { past_cache if="/dev/$1" of=/tmp/got skip="$2" iflag=direct && cmp /tmp/got /tmp/pattern; }
past_cache() {
    dd bs=1M count=1 "$@" 2>/tmp/said && return
    head -n 1 /tmp/said
    return 1
}
# fetch HOST PORT: what it says must be the pattern. (nc ends with its input, and this has none and no end.)
mkfifo /tmp/never
fetch() { nc -w 10 "$1" "$2" <>/tmp/never >/tmp/got && cmp /tmp/got /tmp/pattern; }
# later NAME COMMAND...: in the background; its status is in /tmp/NAME when it is done.
later() {
    name=$1
    shift
    rm -f "/tmp/$name"
    { "$@" >/dev/null 2>&1; echo $? >"/tmp/$name.new"; mv "/tmp/$name.new" "/tmp/$name"; } &
}

exec 3</dev/console
stty -echo <&3
echo "shell: ready"
while read -r number line <&3; do
    eval "$line" </dev/null 3<&-
    echo "shell: $number done $?"
done
