# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Load for a kernel of the matrix: a thousand processes, modules in and out, stress-ng; at the end its log must be clean.
# parapet.seconds=N: how long each of stress-ng's stressors runs; 0 leaves them out.
echo "release: $(uname -r)"
# shellcheck disable=SC1091 # the guest's
. /tests/load.sh

while read -r module; do
    insmod "/matrix-modules/$module" || fail "$module cannot be loaded"
done </matrix-modules/order
grep -q '^dummy ' /proc/modules || fail "the module dummy is not there"
for round in 1 2 3 4 5; do
    rmmod dummy || fail "dummy cannot be unloaded, round $round"
    insmod /matrix-modules/dummy.ko || fail "dummy cannot be loaded, round $round"
done
rmmod dummy || fail "dummy cannot be unloaded"
echo "modules: loaded and unloaded"

seconds=$(parameter seconds)
stress() {
    [ "$seconds" != 0 ] || return 0
    stress-ng --temp-path /tmp --timeout "${seconds}s" --metrics-brief "$@" >/tmp/stress 2>&1 || {
        cat /tmp/stress
        fail "stress-ng $*"
    }
    echo "stress: $*: $(sed -n 's/.*\] *\([a-z]* *[0-9][0-9]*\) .*/\1/p' /tmp/stress | head -n 1)"
}
stress --fork 4
stress --vm 2 --vm-bytes 48M
stress --mmap 2 --mmap-bytes 48M
stress --switch 2
stress --signal 2

# What a kernel says that has met something wrong. Its own speech of warnings that were left out is none.
dmesg >/tmp/log
if grep -nE 'WARNING:|BUG:|Oops|Call Trace|multicall|mc_flush|rcu:.*stall|general protection|segfault' /tmp/log; then
    fail "the kernel's log has the lines above"
fi
