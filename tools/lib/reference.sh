# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the reference runs on KVM share: their options, and the timing of one boot. Source it after common.sh.
# shellcheck disable=SC2034 # the options are results

# reference_options ARGUMENT...: sets kernel, initrd, memory (MiB), limit (s) and cmdline, with Debian's generic kernel and
# an initramfs that only powers off where none are given.
reference_options() {
    kernel='' initrd='' memory=512 limit=120 cmdline='quiet mitigations=off panic=-1'
    while [ $# -gt 0 ]; do
        case $1 in
        --kernel | --initrd | --memory | --timeout | --cmdline) [ $# -ge 2 ] || die "$1 wants a value" ;;
        esac
        case $1 in
        --kernel) kernel=$2; shift ;;
        --initrd) initrd=$2; shift ;;
        --memory) memory=$2; shift ;;
        --timeout) limit=$2; shift ;;
        --cmdline) cmdline=$2; shift ;;
        *)
            say "usage: ${0##*/} [--kernel FILE] [--initrd FILE] [--memory MIB] [--cmdline TEXT] [--timeout S]"
            say "Boots Debian's kernel $REFERENCE_WHAT and prints one JSON object on stdout:"
            say "guest uptime at init and seconds from command to power-off. Needs /dev/kvm: tools/laptop gives one."
            [ "$1" = --help ] && exit 0
            exit 2
            ;;
        esac
        shift
    done
    have_kvm || die "there is no /dev/kvm that we may open; run it as: tools/laptop tools/reference/${0##*/}"
    [ -n "$kernel" ] || kernel=$("$PARAPET_TOP/tools/fetch" generic vmlinuz)
    if [ -z "$initrd" ]; then
        reference_initrd
    fi
    [ -r "$kernel" ] || die "cannot read the kernel $kernel"
    [ -r "$initrd" ] || die "cannot read the initrd $initrd"
}

# reference_initrd: sets initrd to one that powers off at once. Call it ahead of a rig too: it is slow to make there.
reference_initrd() {
    local parts=("$PARAPET_TOP"/guests/initramfs/{make,init} "$PARAPET_TOP/tools/lib/mkcpio.py") script
    initrd=$PARAPET_CACHE/initrd-poweroff-$(cat "${parts[@]}" | sha1sum | head -c 12)
    [ ! -e "$initrd" ] || return 0
    script=$(mktemp)
    echo true >"$script"
    "$PARAPET_TOP/guests/initramfs/make" --script "$script" --out "$initrd"
    rm -f "$script"
}

# reference_boot NAME QEMU-ARGUMENT...: boots, bounded in time, and prints the JSON.
reference_boot() {
    local name=$1 log start end uptime status=0
    shift
    log=$(mktemp)
    start=$(date +%s.%N)
    timeout --foreground -k 2 "$limit" setpriv --pdeathsig KILL qemu-system-x86_64 -nodefaults -no-user-config \
        -display none -no-reboot -serial stdio -M pc -accel kvm "$@" </dev/null >"$log" 2>&1 || status=$?
    end=$(date +%s.%N)
    uptime=$(sed -n 's/\r//g; s/^.*parapet-init: uptime \([0-9.]*\)$/\1/p' "$log")
    if [ $status != 0 ] || [ -z "$uptime" ]; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        [ $status != 124 ] || die "the guest did not power off within $limit s; its last words stand above"
        die "the guest did not boot; its last words stand above"
    fi
    rm -f "$log"
    LC_ALL=C awk -v name="$name" -v kernel="${kernel##*/}" -v memory="$memory" -v uptime="$uptime" -v start="$start" \
        -v end="$end" 'BEGIN { printf "{\"reference\": \"%s\", \"kernel\": \"%s\", \"memory_mib\": %d, " \
        "\"time_to_init_s\": %.2f, \"command_to_poweroff_s\": %.2f}\n", name, kernel, memory, uptime, end - start }'
}
