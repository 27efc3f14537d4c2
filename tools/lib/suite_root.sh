# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Root file systems of other Debian releases, in which the tree is built and its unit tests run. Source it after common.sh.

# suite_packages: what the root has, one entry a line.
suite_packages() { printf '%s\n' git sudo ca-certificates "${PARAPET_BUILD_PACKAGES[@]}" "${PARAPET_DISK_PACKAGES[@]}"; }

# suite_root SUITE: prints the root's folder in the cache; made from this machine's mirror where it is missing or its
# packages are others now.
suite_root() {
    local suite=$1 mirror key folder log
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(LABEL) $(SITE) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian [^ ]* //p' | head -n 1)
    [ -n "$mirror" ] || die "apt here has no Debian mirror; add one to /etc/apt/sources.list and run apt-get update"
    key=$(suite_packages | sha1sum | head -c 12)
    folder=$PARAPET_CACHE/roots/$suite-$key
    if [ ! -e "$folder" ]; then
        need_packages mmdebstrap
        say "making a root file system of Debian $suite; it takes some minutes, once"
        as_root mkdir -p "$PARAPET_CACHE/roots"
        as_root rm -rf "$folder.new"
        log=$PARAPET_CACHE/roots/$suite.log
        if ! { as_root mmdebstrap --mode=root --variant=apt --skip=check/qemu --aptopt='Acquire::Languages "none"' \
            "$suite" "$folder.new" "$mirror" &&
            suite_packages | suite_install "$folder.new"; } >"$log" 2>&1; then
            tail -n 15 "$log" >&2
            die "could not make a root file system of Debian $suite; all that was said is in $log"
        fi
        as_root mv -T "$folder.new" "$folder"
    fi
    printf '%s\n' "$folder"
}

# suite_install ROOT: installs the packages on standard input, as need_packages does it there.
suite_install() {
    local packages
    mapfile -t packages
    suite_run "$1" "$PARAPET_TOP" bash -c '. tools/lib/common.sh && need_packages "$@"' bash "${packages[@]}"
}

# suite_run ROOT FOLDER COMMAND...: runs it in the root as root, in FOLDER of this tree, which is seen at the same path and
# can be written, as can the compiler cache. Nothing else of this machine is seen.
suite_run() {
    local root=$1 folder=$2 ccache
    shift 2
    ccache=${CCACHE_DIR:-$PARAPET_CACHE/roots/ccache}
    # shellcheck disable=SC2016 # for the inner shell
    as_root unshare --mount --pid --fork --kill-child --propagation private bash -euc '
        root=$1 top=$2 folder=$3 ccache=$4
        shift 4
        mkdir -p "$root$top" "$root/ccache" "$ccache"
        mount --bind "$top" "$root$top"
        mount --bind "$ccache" "$root/ccache"
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
        exec chroot "$root" env -i ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            CCACHE_DIR=/ccache PARAPET_CACHE=/root/.cache/parapet \
            bash -c "cd \"\$1\" && shift && exec \"\$@\"" bash "$folder" "$@"
    ' bash "$root" "$PARAPET_TOP" "$folder" "$ccache" "$@" </dev/null
}
