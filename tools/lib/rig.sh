# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The rig's kernel and initramfs, made once and kept in the cache. Source it after common.sh.
# shellcheck disable=SC2034 # RIG_KERNEL and RIG_INITRD are results

# In the order of their loading; Debian's kernel package has no modules.dep before it is installed.
RIG_MODULES=(
    virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console
    netfs fscache 9pnet 9pnet_virtio 9p overlay irqbypass kvm ccp kvm-amd
)
RIG_APPLETS=(sh mount insmod ip hostname cat echo mkdir mkfifo ln sleep usleep poweroff setsid chroot kill)

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
    RIG_KERNEL=$folder/kernel RIG_INITRD=$folder/initrd
}
