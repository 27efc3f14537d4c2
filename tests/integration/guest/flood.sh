# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Writes parapet.bytes= bytes of numbered lines to the console, or for ever.
echo "flood: begin"
if [ -n "$(parameter bytes)" ]; then
    seq 1000000 | head -c "$(parameter bytes)"
    echo
    echo "flood: end"
else
    while :; do
        seq 10000
    done
fi
