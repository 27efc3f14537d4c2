# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Domain 0 of real Xen under QEMU's emulator: its initramfs, made once and kept in the cache, and a run of it. Source it
# after common.sh.

# In the order of their loading (those that they need are found by modules.py).
XEN_DOM0_MODULES=(
    virtio_pci virtio_console 9p 9pnet_virtio overlay xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xenfs loop
    xen-blkback xen-netback
)
XEN_DOM0_APPLETS=(sh mount insmod mkdir ln cat echo poweroff chroot usleep)

# dom0_list MODULES-DIR BUSYBOX SCRATCH: the contents of domain 0's initramfs for mkcpio.py.
dom0_list() {
    local path applet
    printf 'node\t/dev/console\t600\t5\t1\n'
    printf 'node\t/dev/null\t666\t1\t3\n'
    printf 'dir\t/%s\t755\n' proc sys host over root
    printf 'file\t/init\t755\t%s\n' "$PARAPET_TOP/tools/lib/xen-dom0-init.sh"
    printf 'file\t/bin/busybox\t755\t%s\n' "$2"
    for applet in "${XEN_DOM0_APPLETS[@]}"; do
        printf 'link\t/bin/%s\tbusybox\n' "$applet"
    done
    "$PYTHON3" "$PARAPET_TOP/tools/lib/modules.py" "$1" "${XEN_DOM0_MODULES[@]}" >"$3/files" || exit 125
    while read -r path; do
        printf 'file\t/modules/%s\t644\t%s\n' "${path##*/}" "$path"
        printf '%s\n' "${path##*/}" >>"$3/order"
    done <"$3/files"
    printf 'file\t/modules/order\t644\t%s\n' "$3/order"
}

# dom0_prepare: sets dom0_kernel, dom0_initrd and xen, making what is missing or out of date; installs xl.
dom0_prepare() {
    local modules busybox version key folder scratch
    need_packages qemu-system-x86 seabios util-linux xen-utils-4.17 xenstore-utils
    xen=$("$PARAPET_TOP/tools/fetch" xen xen)
    { read -r _ dom0_kernel && read -r _ modules && read -r _ version; } < <("$PARAPET_TOP/tools/fetch" generic)
    busybox=$("$PARAPET_TOP/tools/fetch" busybox busybox)
    [ -n "${version:-}" ] || die "domain 0's kernel could not be fetched"
    key=$(cat "$PARAPET_TOP"/tools/lib/{xen-dom0-init.sh,xen_dom0.sh,mkcpio.py,modules.py} "${busybox%/bin*}/package" |
        sha1sum | head -c 12)
    folder=$PARAPET_CACHE/xen-dom0/$version-$key
    if [ ! -e "$folder" ]; then
        mkdir -p "$PARAPET_CACHE/xen-dom0"
        scratch=$(mktemp -d "$PARAPET_CACHE/xen-dom0/.new.XXXXXX")
        dom0_list "$modules" "$busybox" "$scratch" >"$scratch/list"
        "$PYTHON3" "$PARAPET_TOP/tools/lib/mkcpio.py" "$scratch/initrd" <"$scratch/list"
        chmod 755 "$scratch"
        mv -T "$scratch" "$folder" 2>/dev/null || rm -rf "$scratch" # another was as quick
    fi
    dom0_initrd=$folder/initrd
}

# dom0_run WORK LIMIT XEN-OPTIONS OUT VERBOSE: runs WORK/script in domain 0; its output on stdout. Returns its status.
dom0_run() {
    local work=$1 limit=$2 xen_options=$3 out=$4 verbose=$5 qemu status=0
    # Debian's kernels trip over SMAP and SMEP under Xen on this emulator; -la57, -erms: docs/substrates.md.
    # shellcheck disable=SC2054 # QEMU's options have commas
    qemu=(
        timeout --foreground -k 2 "$limit"
        setpriv --pdeathsig KILL
        qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
        -M pc -accel tcg -cpu "${PARAPET_XEN_CPU:-max,-smap,-smep,-la57,-erms}" -smp 1 -m 2500
        -chardev "file,id=console,path=$work/console" -serial chardev:console
        -chardev "file,id=script,path=/dev/stdout"
        -device "virtio-serial-pci,disable-modern=off" -device "virtserialport,nr=1,chardev=script"
        -kernel "$xen" -initrd "$dom0_kernel console=hvc0 quiet mitigations=off parapet.work=$work${out:+ parapet.out=$out},$dom0_initrd"
        -append "console=com1 dom0_mem=1000M loglvl=warning guest_loglvl=warning $xen_options"
        -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap
        -device "virtio-9p-pci,fsdev=host,mount_tag=host,disable-modern=off"
    )
    [ -z "$out" ] || qemu+=(
        -fsdev "local,id=out,path=${out//,/,,},security_model=none,multidevs=remap"
        -device "virtio-9p-pci,fsdev=out,mount_tag=out,disable-modern=off"
    )
    "${qemu[@]}" </dev/null 2>"$work/qemu" | sed -u 's/\r//g; /^xen-domu-status /{w '"$work/status"'
        d}' || status=$?
    [ "$verbose" = no ] || tr -d '\r' <"$work/console" >&2
    if [ -s "$work/status" ]; then
        read -r _ status <"$work/status"
        return "$status"
    fi
    [ $status != 124 ] || { say "${0##*/}: gave up after $limit s (--timeout)"; return 124; }
    tail -n 20 "$work/qemu" "$work/console" >&2
    die "domain 0 stopped before its work was done; its last words stand above"
}
