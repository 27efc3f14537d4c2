# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Part of guests/check: the devices and options of `parapet run` that a guest's source asks for ("needs: …",
# "options: …"), and what must be true of the devices afterwards.
# It uses and sets variables of guests/check: build, where, scratch, device_options.
# shellcheck disable=SC2154,SC2034

# comments GUEST KEY: the texts of the source's comments "// KEY: TEXT".
comments() {
    local source=$PARAPET_TOP/guests/${1#"$build"/guests/}.cpp
    [ ! -f "$source" ] || sed -n "s|^// $2: ||p" "$source"
}
needs() { comments "$1" needs; }

# original SIZE: the file that a disk of that size begins as: 16 bytes at a time, their number (guests/lib/disk_io.hpp).
original() {
    local file=$scratch/original-$1
    [ -f "$file" ] || seq -f '%015.0f' 0 $(($(numfmt --from=iec "$1") / 16 - 1)) >"$file"
    echo "$file"
}

# make_devices GUEST TWIN: fills device_options.
make_devices() {
    local kind size words letters=abcdefgh number=0
    device_options=()
    [ "$where" = parapet ] || return 0
    rm -f "$scratch/disk-$2"*
    read -ra device_options < <(comments "$1" options) || true
    while read -r kind size words; do
        case $kind in
        disk)
            cp "$(original "$size")" "$scratch/disk-$2$number"
            device_options+=(--disk "vdev=xvd${letters:number:1},format=raw,${words:+$words,}target=$scratch/disk-$2$number")
            number=$((number + 1))
            ;;
        vif) device_options+=(--vif "${size//LINK/$scratch/link}") ;;
        esac
    done < <(needs "$1")
}

# devices_wrong GUEST CONSOLE: prints what is wrong with the disks, or that a line of the log is missing; or nothing.
devices_wrong() {
    local kind size words number=0 pattern
    [ "$where" = parapet ] || return 0
    while read -r kind size words; do
        [ "$kind" = disk ] || continue
        local whole skip
        whole=$(numfmt --from=iec "$size")
        skip=$((whole / 2))
        [[ $words != *access=ro* ]] || skip=0
        for disk in "$scratch"/disk-?"$number"; do
            [ "$(stat -c %s "$disk")" = "$whole" ] || echo "disk $number changed its size"
            cmp -s --ignore-initial=$skip "$disk" "$(original "$size")" ||
                echo "disk $number was written where the guest wrote nothing"
        done
        number=$((number + 1))
    done < <(needs "$1")
    while read -r pattern; do
        tr -d '\r' <"$2" | grep -Eq "^parapet: .*($pattern)" || echo "no line of the log has '$pattern'"
    done < <(comments "$1" log)
}
