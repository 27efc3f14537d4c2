# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# From the root's tar to a disk image, without mounting and without root rights. Source it after common.sh.

# filesystem_packages FS LAYOUT: what making one needs.
filesystem_packages() {
    case $1 in ext4) echo e2fsprogs ;; xfs) echo xfsprogs ;; btrfs) echo btrfs-progs ;; esac
    [ "$2" = whole ] || echo fdisk
    [ "$(id -u)" = 0 ] || echo fakeroot
}

# with_owners COMMAND...: runs it where files may belong to anyone.
with_owners() { if [ "$(id -u)" = 0 ]; then "$@"; else fakeroot -- "$@"; fi; }

# make_filesystem TAR FS UUID BYTES LAYOUT FILE SCRATCH: in FILE a file system of that size with the tar's contents.
make_filesystem() {
    rm -rf "$7"
    mkdir "$7"
    truncate -s "$4" "$6"
    # shellcheck disable=SC2016 # that shell's own variables
    PATH=$PATH:/usr/sbin:/sbin PYTHON3=$PYTHON3 PARAPET_TOP=$PARAPET_TOP with_owners bash -euo pipefail -c '
        tar=$1 fs=$2 uuid=$3 layout=$5 file=$6 tree=$7
        tar --extract --numeric-owner --same-permissions --exclude=./dev/* --file="$tar" --directory="$tree"
        # What grub-mkconfig would have found on this disk.
        case $fs in ext4) module=ext2 ;; *) module=$fs ;; esac
        case $layout in
        gpt) part="s/@/@/" ;;
        mbr) part="s/part_gpt/part_msdos/; s/gpt1/msdos1/g" ;;
        whole) part="/insmod part_gpt/d; s/hd0,gpt1/hd0/g" ;;
        esac
        sed -i -e "s/insmod ext2/insmod $module/" -e "$part" "$tree/boot/grub/grub.cfg"
        case $fs in
        ext4) mke2fs -q -F -t ext4 -L root -U "$uuid" -E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 \
            -d "$tree" "$file" ;;
        xfs)
            "$PYTHON3" "$PARAPET_TOP/tools/debian.d/xfs_proto.py" "$tree" >"$tree.proto"
            mkfs.xfs -q -f -L root -m "uuid=$uuid" -p "$tree.proto" "$file"
            rm "$tree.proto" ;;
        btrfs) mkfs.btrfs -q -f -L root -U "$uuid" --rootdir "$tree" "$file" ;;
        esac
        chmod -R u+rwX "$tree"
        rm -rf "$tree"
    ' - "$@"
}

# lay_out FILESYSTEM LAYOUT BYTES FILE: a disk image with that file system; FILESYSTEM is used up.
lay_out() {
    if [ "$2" = whole ]; then
        mv "$1" "$4"
        return
    fi
    truncate -s "$3" "$4"
    local label=$2 type=linux
    [ "$label" != mbr ] || label=dos
    printf 'label: %s\nstart=1MiB, size=%sKiB, type=%s, bootable\n' "$label" $(($(stat -c %s "$1") / 1024)) "$type" |
        PATH=$PATH:/usr/sbin:/sbin sfdisk --quiet "$4" >/dev/null
    dd if="$1" of="$4" bs=1M seek=1 conv=sparse,notrunc status=none
    rm "$1"
}
