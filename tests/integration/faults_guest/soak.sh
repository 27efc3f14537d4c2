# shellcheck shell=dash disable=SC2153 # what comes from outside is not misspelt
# SPDX-License-Identifier: Apache-2.0
# The guest of soak.py. What to do comes by the kernel's command line, which init has as its environment:
#   DISKS=xvdb,xvdc MODE=write|verify|read ROUNDS MIB LARGE SMALL SECTOR SEED TRIM ZEROES BLKFRONT=PARAMETER=VALUE,... (see soak.py)
PIECES=8
PIECE=$((MIB * 1048576 / PIECES))
export MIB LARGE SMALL SECTOR DEPTH
full="--section=deep --section=large --section=small --section=single --section=buffered --section=lazy"

fail() {
    echo "soak: FAIL: $*"
    exit 1
}

# jobs NAME OPTION...: fio, whose words are shown if it fails.
jobs() {
    name=$1
    shift
    fio --eta=never --output="/tmp/$name" "$@" 2>"/tmp/$name.err" && return
    cat "/tmp/$name.err" "/tmp/$name" | head -n 12
    fail "$name of $DISK, seed $SEED"
}

# each_stripe COMMAND: with the offset of each second piece of the stripes' region, and which one it is.
each_stripe() {
    piece=1
    while [ $piece -lt $PIECES ]; do
        $1 $((5 * MIB * 1048576 + piece * PIECE)) $((piece / 2))
        piece=$((piece + 2))
    done
}

# Discarded or overwritten with zeroes by turns, some without their first and last sector.
inner() { echo $((($1 / 2) % 2 * SECTOR)); }
clear_stripe() {
    edge=$(inner "$2")
    how=
    [ "$TRIM" = 1 ] && [ $(($2 % 2)) = 0 ] || how=-z
    # shellcheck disable=SC2086 # nothing, or an option
    /programs/bin/blkdiscard $how -o $(($1 + edge)) -l $((PIECE - 2 * edge)) "$DISK" || fail "blkdiscard $how of $1 on $DISK"
}
look_at_stripe() {
    [ "$ZEROES" = 1 ] || [ $(($2 % 2)) = 1 ] || return 0
    edge=$(inner "$2")
    bytes=$((PIECE - 2 * edge))
    zeroes=$(dd if="$DISK" bs=64k iflag=skip_bytes,count_bytes skip=$(($1 + edge)) count=$bytes 2>/tmp/dd.err |
        tr -cd '\0' | wc -c)
    [ "$zeroes" = $bytes ] || fail "of stripe $2 at $1 of $DISK $zeroes bytes are zero, not $bytes: $(cat /tmp/dd.err)"
}

# stripes STEP: write and clear, or look.
stripes() {
    case $1 in
    write)
        jobs "stripes-${DISK##*/}" --section=stripes /soak.fio
        each_stripe clear_stripe
        ;;
    look)
        each_stripe look_at_stripe
        jobs "look-${DISK##*/}" --readonly --name=look --filename="$DISK" --rw=read --bs=128k --direct=1 --offset=25% \
            --size="${MIB}m" --io_size="$((MIB * 512))k" --zonemode=strided --zonesize=$PIECE --zoneskip=$PIECE --verify=crc32c \
            --verify_interval="$SECTOR" --verify_fatal=1
        ;;
    esac
}

write_round() {
    trim=
    [ "$TRIM" = 0 ] || trim=--section=trim
    stripes write &
    other=$!
    # shellcheck disable=SC2086 # lists of options
    BACKLOG=64 jobs "write-${DISK##*/}" $full $trim /soak.fio
    wait $other || exit 1
}

# All of it once more, past the guest's page cache.
verify() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    # shellcheck disable=SC2086 # a list of options
    BACKLOG=0 jobs "cold-${DISK##*/}" --verify_only $full /soak.fio
    stripes look
}

# A read-only disk cannot be opened for jobs that could write.
read_only() {
    dd if=/dev/zero of="$DISK" bs=4096 count=1 2>/dev/null && fail "$DISK can be written"
    jobs "read-${DISK##*/}" --readonly --name=read --filename="$DISK" --rw=randread --bsrange=64k-1m --direct=1 \
        --ioengine=libaio --iodepth=16 --offset=35% --size="${LARGE}m" --verify=crc32c --verify_interval="$SECTOR" --verify_fatal=1
    stripes look
}

one_disk() {
    export DISK="/dev/$1" SEED
    round=0
    case $MODE in
    write)
        while [ $round -lt "$ROUNDS" ]; do
            SEED=$((SEED + 1))
            round=$((round + 1))
            write_round
        done
        verify
        ;;
    verify)
        SEED=$((SEED + ROUNDS))
        verify
        ;;
    read) read_only ;;
    esac
}

for module in /modules/*; do
    options=
    case $module in *xen-blkfront*) options=$(echo "$BLKFRONT" | tr , ' ') ;; esac
    # shellcheck disable=SC2086 # several
    insmod "$module" $options || fail "cannot load $module"
done
names=$(echo "$DISKS" | tr , ' ')
tries=0
for name in xvdz $names; do
    until [ -b "/dev/$name" ]; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || fail "no $name"
        usleep 50000
    done
done
# fio and its libraries, where its loader looks for them.
mkdir /programs
mount -t ext4 -o ro /dev/xvdz /programs || fail "no programs"
for folder in lib lib64 usr; do
    [ ! -d /programs/$folder ] || ln -s /programs/$folder /$folder
done
PATH=$PATH:/programs/bin
for name in $names; do
    [ "$(cat "/sys/block/$name/queue/logical_block_size")" = "$SECTOR" ] || fail "$name has other sectors"
done
workers=
for name in $names; do
    (one_disk "$name") &
    workers="$workers $!"
    SEED=$((SEED + 1000))
done
failed=
for worker in $workers; do
    wait "$worker" || failed=yes # each disk says what it has found
done
[ -z "$failed" ] || fail "a disk's jobs"
dmesg | grep -o "blkfront: xvd[^z].*"
free -k | sed -n 's/^Mem: */soak: memory /p'
echo "soak: well"
