# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Has the kernel print parapet.lines= numbered lines, by console_io too (earlyprintk=xen,keep printk.devkmsg=on).
line=0
while [ "$line" -lt "$(parameter lines)" ]; do
    echo "<1>log: line $line, and more, so that a pipe is soon full of such lines that nobody reads" >/dev/kmsg
    line=$((line + 1))
done
echo "log: end"
