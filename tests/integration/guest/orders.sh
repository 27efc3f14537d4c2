# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Does what the console's reader orders, one line each: how a domain ends, and by whom.
echo "orders: ready $(cat /proc/uptime)"
while read -r order argument </dev/console; do
    echo "orders: $order $argument"
    case $order in
    poweroff | reboot | halt) "$order" -f ;;
    store) xs write control/shutdown "$argument" || fail "control/shutdown cannot be written" ;;
    exit-code) xs write data/exit-code "$argument" || fail "data/exit-code cannot be written" ;;
    panic) echo c >/proc/sysrq-trigger ;;
    read) echo "value: $(xs read "$argument")" ;;
    forbidden) xs write "$argument" 1 || echo "refused: $argument" ;;
    sleep) sleep "$argument" ;;
    pass) break ;;
    *) fail "what is '$order'?" ;;
    esac
done
