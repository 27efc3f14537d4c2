# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Runs in domain 0 of tools/reference/xen-domu, which puts memory=, each= and guests= in front: starts each kernel of the
# list as a guest domain, keeps its console and says how it ended.
# shellcheck disable=SC2154

# ended DOMID: prints the status of a domain that has shut down, nothing while it runs. Column 8 of `xl list -v` is the
# reason (xen/sched.h: 0 poweroff, 1 reboot, 2 suspend, 3 crash), or - while it runs.
ended() {
    local reason
    reason=$(xl list -v "$1" 2>/dev/null | awk 'NR == 2 { print $8 }')
    case $reason in
    -) ;;
    0 | 2) echo 0 ;;
    1) echo 4 ;;
    *) echo 3 ;;
    esac
}

# Waits, in the background, until some domain shuts down or goes: xenstored says so by this watch, after its first event.
watch() { timeout "$each" xenstore-watch -n 2 @releaseDomain >/dev/null 2>&1 & }

# run KERNEL RESULT: prints the status; the console is left in the file RESULT.
run() {
    local name=g config=/tmp/guest.cfg console=/var/log/xen/console/guest-g.log status='' domid end=$((SECONDS + each))
    printf 'name = "%s"\nkernel = "%s"\nmemory = %s\nvcpus = 1\non_poweroff = "destroy"\n' "$name" "$1" "$memory" >$config
    echo "max_event_channels = 131071" >>$config # as many as the FIFO ABI has; xl's own limit is 1023
    : >$console
    watch
    if ! xl create -e -q $config >"$2" 2>&1; then
        kill $!
        echo 125
        return
    fi
    domid=$(xl domid $name)
    while [ -z "$status" ]; do
        wait $! || true
        watch # before the look, so that nothing is missed
        status=$(ended "$domid")
        [ -n "$status" ] || [ $SECONDS -lt $end ] || status=124
    done
    kill $!
    xl destroy "$domid"
    cat $console >"$2"
    echo "$status"
}

while IFS=$'\t' read -r kernel result; do
    status=$(run "$kernel" "$result")
    printf '%s %s %s\n' "$status" "$kernel" "$result"
done <"$guests"
