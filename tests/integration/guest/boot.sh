# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Says what the kernel found.
echo "release: $(uname -r)"
echo "machine: $(uname -m)"
echo "hypervisor: $(cat /sys/hypervisor/type 2>/dev/null)"
echo "guest type: $(cat /sys/hypervisor/guest_type 2>/dev/null)"
dmesg | sed -n 's/.*xen:events: Using \(.*\)-based ABI.*/events: \1/p'
sed -n 's/^MemTotal: *\([0-9]*\) kB/memory: \1/p' /proc/meminfo
echo "processors: $(grep -c ^processor /proc/cpuinfo)"
echo "now: $(date +%s)"
first=$(date +%s)
sleep 1
second=$(date +%s)
[ "$second" -gt "$first" ] || fail "the wall clock stands still"
[ "$second" -le $((first + 10)) ] || fail "a second took $((second - first))"
