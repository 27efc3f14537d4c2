# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Writes parapet.bytes= bytes of numbered lines to the console, or for ever.
# Unprocessed: the tty layer else hands its output to the console byte by byte.
stty -opost </dev/hvc0
echo "flood: begin"
if [ -n "$(parameter bytes)" ]; then
    seq 1000000 | head -c "$(parameter bytes)" >/tmp/flood
    cat /tmp/flood
    echo
    echo "flood: end"
else
    seq 10000 >/tmp/flood
    while :; do
        cat /tmp/flood
    done
fi
