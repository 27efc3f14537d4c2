# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The rig's kernel and initramfs, made once and kept in the cache. Source it after common.sh.
# shellcheck disable=SC2034,SC2154 # RIG_KERNEL, RIG_INITRD and RIG_CPU are results; tools/laptop's variables are used

# In the order of their loading; Debian's kernel package has no modules.dep before it is installed.
RIG_MODULES=(
    virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console
    netfs fscache 9pnet 9pnet_virtio 9p overlay irqbypass kvm ccp kvm-amd
)
RIG_APPLETS=(sh mount insmod ip hostname cat echo mkdir mkfifo ln rm sleep usleep poweroff setsid chroot unshare kill)

# rig_list MODULES-DIR BUSYBOX SCRATCH: the contents of the rig's initramfs for mkcpio.py.
rig_list() {
    local module path applet
    printf 'node\t/dev/console\t600\t5\t1\n'
    printf 'node\t/dev/null\t666\t1\t3\n'
    printf 'dir\t/%s\t755\n' proc sys host over root
    printf 'file\t/init\t755\t%s\n' "$PARAPET_TOP/tools/lib/rig-init.sh"
    printf 'file\t/bin/busybox\t755\t%s\n' "$2"
    for applet in "${RIG_APPLETS[@]}"; do
        printf 'link\t/bin/%s\tbusybox\n' "$applet"
    done
    for module in "${RIG_MODULES[@]}"; do
        path=$(find "$1" -name "$module.ko*" -print -quit)
        [ -n "$path" ] || die "Debian's kernel in $1 has no module $module; adapt RIG_MODULES in tools/lib/rig.sh"
        printf 'file\t/modules/%s\t644\t%s\n' "${path##*/}" "$path"
        printf '%s\n' "${path##*/}" >>"$3/order"
    done
    printf 'file\t/modules/order\t644\t%s\n' "$3/order"
}

# rig_prepare: sets RIG_KERNEL and RIG_INITRD, making them where they are missing or out of date.
rig_prepare() {
    local vmlinuz modules busybox version key folder scratch
    { read -r _ vmlinuz && read -r _ modules && read -r _ version; } < <("$PARAPET_TOP/tools/fetch" generic)
    busybox=$("$PARAPET_TOP/tools/fetch" busybox busybox)
    [ -n "${version:-}" ] || die "the rig's kernel could not be fetched"
    key=$(cat "$PARAPET_TOP"/tools/lib/{rig-init.sh,rig.sh,mkcpio.py} "${busybox%/bin*}/package" | sha1sum | head -c 12)
    folder=$PARAPET_CACHE/rig/$version-$key
    if [ ! -e "$folder" ]; then
        mkdir -p "$PARAPET_CACHE/rig"
        scratch=$(mktemp -d "$PARAPET_CACHE/rig/.new.XXXXXX")
        # Unpacked once here rather than by the emulated CPU at every boot (QEMU starts it by its PVH note).
        "$PYTHON3" "$PARAPET_TOP/tools/lib/vmlinux.py" "$vmlinuz" "$scratch/kernel" || cp "$vmlinuz" "$scratch/kernel"
        rig_list "$modules" "$busybox" "$scratch" >"$scratch/list"
        "$PYTHON3" "$PARAPET_TOP/tools/lib/mkcpio.py" "$scratch/initrd" <"$scratch/list"
        chmod 755 "$scratch"
        mv -T "$scratch" "$folder" 2>/dev/null || rm -rf "$scratch" # another rig was as quick
    fi
    RIG_KERNEL=$folder/kernel RIG_INITRD=$folder/initrd RIG_MODULES_DIR=$modules
}

# rig_pick_cpu: sets RIG_CPU, one of this process's CPUs that no other rig keeps to where there is one, and takes it until
# this process and its children end.
rig_pick_cpu() {
    local lock
    for RIG_CPU in $("$PYTHON3" -c 'import os; print(*sorted(os.sched_getaffinity(0)))'); do
        exec {lock}>>"$PARAPET_CACHE/rig/cpu$RIG_CPU"
        ! flock --nonblock "$lock" || return 0
        exec {lock}>&-
    done
}

# rig_devices: the disks, the scratch disk, the network card and the modules that were asked for. Adds to qemu and append,
# and writes $work/modules and $work/mounts for the rig's init. They are loaded from the host's files, not the initramfs: a
# rig without them boots as fast as ever.
rig_devices() {
    local entry file size mount word name path letters=abcdefghijklmnopqrstuvwxyz index=0 wanted=("${modules[@]}")
    for entry in "${disks[@]}"; do
        size='' mount='' file=${entry%%,*}
        while read -r -d , word; do
            case $word in
            size=*) size=${word#*=} ;;
            mount=/*) mount=${word#*=} ;;
            *) die "--disk $entry: want FILE[,size=SIZE][,mount=/DIR], not '$word'" ;;
            esac
        done <<<"$(printf '%s,' "${entry#"$file"}" | sed 's/^,*//')"
        if [ ! -e "$file" ]; then
            [ -n "$size" ] || die "--disk $file: no such file; add ,size=SIZE to make it"
            truncate -s "$size" "$file" || die "--disk $file: cannot make it with size $size"
        fi
        qemu+=(
            -drive "if=none,id=disk$index,format=raw,file=$(realpath "$file"),cache=unsafe,aio=threads,discard=unmap"
            -device "virtio-blk-pci,drive=disk$index"
        )
        [ -z "$mount" ] || printf 'vd%s %s\n' "${letters:index:1}" "$mount" >>"$work/mounts"
        index=$((index + 1))
    done
    [ $index = 0 ] || wanted+=(virtio_blk)
    if [ -n "$scratch" ]; then
        size=${scratch#*,size=}
        [ "$size" != "$scratch" ] || size=1
        [[ $size =~ ^[1-9][0-9]*$ ]] || die "--scratch: size= takes whole GiB, not '$size'"
        printf 'nullb0 %s\n' "$(realpath -m "${scratch%%,*}")" >>"$work/mounts"
        wanted+=(null_blk)
    fi
    [ ! -s "$work/mounts" ] || wanted+=(ext4)
    if [ -n "$net" ]; then
        wanted+=(virtio_net)
        append+=" parapet.net"
        # shellcheck disable=SC2054
        qemu+=(-netdev "user,id=net,ipv6=off,restrict=$([ "$net" = closed ] && echo on || echo off)"
            -device virtio-net-pci,netdev=net,romfile=)
    fi
    [ ${#wanted[@]} -gt 0 ] || return 0
    "$PYTHON3" "$PARAPET_TOP/tools/lib/modules.py" "$RIG_MODULES_DIR" "${wanted[@]}" >"$work/files" || exit 125
    while read -r path; do
        name=${path##*/}
        name=${name%%.ko*}
        case " ${RIG_MODULES[*]//-/_} " in *" ${name//-/_} "*) continue ;; esac
        # Its own timer completes a request: a disk that is quick, but not done before the submitter returns.
        [ "$name" != null_blk ] || path+=" nr_devices=1 gb=$size memory_backed=1 discard=1 irqmode=2 completion_nsec=10000 max_sectors=2560"
        printf '%s\n' "$path" >>"$work/modules"
    done <"$work/files"
}

# rig_proxies NET: for the rig's command, the proxies of the environment as they are reached from an open network card.
rig_proxies() {
    local name
    [ "$1" = open ] || return 0
    for name in http_proxy https_proxy ftp_proxy all_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY; do
        [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" \
            "$(sed -E 's,^([a-z0-9]+://([^@/]*@)?)?(localhost|127\.[0-9.]+|\[::1\])(:|/|$),\110.0.2.2\4,' <<<"${!name}")"
    done
}
