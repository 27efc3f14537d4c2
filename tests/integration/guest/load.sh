# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# A thousand processes that fork, exec and pipe; then a tree of small files out of a tar archive.
# parapet.processes=N; parapet.files=N parapet.sum=MD5 describe the archive /load.tar.gz where there is one.
now() { sed 's/[. ].*//' /proc/uptime; }
begin=$(now)
processes=$(parameter processes)
i=0
while [ $i -lt "$processes" ]; do
    # Four processes each: the subshell, echo's, the pipe's end and what reads it; some at the same time.
    (echo "$i" | cat >"/tmp/p$i") &
    i=$((i + 1))
    [ $((i % 8)) != 0 ] || wait
done
wait
i=0
while [ $i -lt "$processes" ]; do
    read -r got <"/tmp/p$i" || got=nothing
    [ "$got" = "$i" ] || fail "process $i wrote '$got'"
    rm "/tmp/p$i"
    i=$((i + 1))
done
echo "forks took: $(($(now) - begin))"
[ -r /load.tar.gz ] || return 0
begin=$(now)
mkdir /tmp/tree
mount -t tmpfs -o size=95%,nr_inodes=200k tmpfs /tmp/tree
cd /tmp/tree || fail "no folder for the tree"
gunzip </load.tar.gz | tar x || fail "tar failed"
files=$(find . -type f | wc -l)
echo "files: $files"
[ "$files" = "$(parameter files)" ] || fail "$files files instead of $(parameter files)"
sum=$(find . -type f | sort | xargs cat | md5sum)
[ "${sum%% *}" = "$(parameter sum)" ] || fail "the checksum is ${sum%% *} instead of $(parameter sum)"
cd / || return
rm -r /tmp/tree/*
echo "tar took: $(($(now) - begin))"
