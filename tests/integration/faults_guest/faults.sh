# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# The guest of disk_faults.py: writes and reads the whole of xvdb, past the page cache, again and again, and says what came.
for module in /modules/*; do insmod "$module" || echo "cannot load $module"; done
tries=0
until [ -b /dev/xvdb ]; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || { echo "faults: no disk"; exit 1; }
    usleep 50000
done
echo "faults: begin"
while :; do
    if dd if=/dev/zero of=/dev/xvdb bs=1M count=16 oflag=direct 2>/tmp/said && sync; then
        echo "faults: write well"
    else
        echo "faults: write error: $(head -n 1 /tmp/said)"
    fi
    if dd if=/dev/xvdb of=/dev/null bs=1M count=16 iflag=direct 2>/tmp/said; then
        echo "faults: read well"
    else
        echo "faults: read error: $(head -n 1 /tmp/said)"
    fi
    usleep 200000
done
