# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# The guest of durability.py: files on xvdb's ext4 and records on xvdc, both until somebody kills us.
for module in /modules/*; do insmod "$module" || echo "cannot load $module"; done
tries=0
until [ -b /dev/xvdb ] && [ -b /dev/xvdc ]; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || { echo "durable: failed: no disks"; exit 1; }
    usleep 50000
done
mkdir /mnt
mount -t ext4 /dev/xvdb /mnt || { echo "durable: failed: no mount"; exit 1; }
/bin/durable files /mnt &
/bin/durable raw /dev/xvdc &
wait
