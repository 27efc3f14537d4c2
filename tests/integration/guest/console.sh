# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Reads parapet.bytes= bytes from the console, says their checksum and sends as many of its own back.
bytes=$(parameter bytes)
exec </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo </dev/hvc0
printf 'console: ready\n'
head -c "$bytes" >/tmp/in
printf 'console: md5 %s\n' "$(md5sum </tmp/in | cut -d ' ' -f 1)"
printf 'console: begin\n'
cat /tmp/in
printf '\nconsole: end\n'
