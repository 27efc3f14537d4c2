# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Helpers shared by the scripts of tools/: messages, the cache folder, packages, the build. Source it, don't run it.
# shellcheck disable=SC2034 # the sourcing scripts use what stands here

PARAPET_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PARAPET_CACHE=${PARAPET_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/parapet}
PYTHON3=/usr/bin/python3 # Debian's, whatever else stands in PATH
export PARAPET_TOP PARAPET_CACHE

# What a build of everything and its tests need, as Debian names it; of A|B the first that this release has.
PARAPET_BUILD_PACKAGES=(
    gcc g++ cmake ninja-build ccache pkg-config python3 util-linux
    passt
    libgtest-dev libxen-dev libc6-dev linux-libc-dev
    'libboost-program-options1.81-dev|libboost-program-options-dev' liburing-dev libseccomp-dev
    zlib1g-dev libbz2-dev liblzma-dev liblzo2-dev liblz4-dev libzstd-dev libxxhash-dev libmd-dev
    libnbd-dev nbdkit qemu-utils fio
)
PARAPET_LINT_PACKAGES=('clang-14|clang-19' 'libclang-rt-14-dev|libclang-rt-19-dev' 'clang-tidy-14|clang-tidy-19' clang-format-14 shellcheck)
# Disk images: making them, and reading what they boot.
PARAPET_DISK_PACKAGES=(grub-common e2fsprogs xfsprogs btrfs-progs fdisk dosfstools mtools xorriso xz-utils binutils)
# What a rig run needs beyond that.
PARAPET_RIG_PACKAGES=(qemu-system-x86 seabios python3 util-linux e2fsprogs iproute2 strace)

say() { printf '%s\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "${PARAPET_DIE_STATUS:-1}"
}

# as_root COMMAND...: runs it as root, by sudo where we are not.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "'$*' needs root and there is no sudo; run it as root, then try again"
    fi
}

# apt_lists: makes sure that apt knows the mirror's packages.
apt_lists() {
    if [ -z "$(apt-cache madison linux-image-amd64 2>/dev/null)" ]; then
        as_root apt-get -qq update >&2
    fi
}

# is_installed PKG
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# check_release PKG...: where the host is no Debian, whose package names these are, says what they are needed for. Set
# PARAPET_PACKAGES=installed there once their equivalents are.
check_release() {
    local id name
    # shellcheck source=/dev/null
    { read -r id && read -r name; } < <(. /etc/os-release 2>/dev/null; printf '%s\n' "${ID:-unknown}" "${PRETTY_NAME:-this system}")
    if [ "$id" != debian ] || ! command -v apt-get >/dev/null; then
        die "$name is not Debian 12 or 13, so nothing is installed here by itself. Install its equivalents of: ${*%%|*}" \
            "- then run this again with PARAPET_PACKAGES=installed in the environment"
    fi
}

# need_packages PKG...: installs what is missing, quietly. Of "A|B" it takes what is installed, or the first that the
# mirror has.
need_packages() {
    local entry pkg log missing=()
    [ "${PARAPET_PACKAGES:-}" != installed ] || return 0
    for entry in "$@"; do
        for pkg in ${entry//|/ }; do
            ! is_installed "$pkg" || continue 2
        done
        missing+=("$entry")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    check_release "${missing[@]}"
    apt_lists
    mapfile -t missing < <(first_available "${missing[@]}")
    say "installing ${missing[*]}"
    log=$(mktemp)
    # Stale lists name files that the mirror has dropped: then update once and try again.
    if ! apt_install "${missing[@]}" >"$log" 2>&1; then
        as_root apt-get -qq update >>"$log" 2>&1 || true
        if ! apt_install "${missing[@]}" >>"$log" 2>&1; then
            tail -n 20 "$log" >&2
            rm -f "$log"
            die "could not install ${missing[*]}; see apt's messages above"
        fi
    fi
    rm -f "$log"
}
# first_available A|B...: of each, the first package that apt has, or the last where it has none (and apt says so).
first_available() {
    local entry pkg
    for entry in "$@"; do
        for pkg in ${entry//|/ }; do
            [ -z "$(apt-cache madison "$pkg" 2>/dev/null)" ] || break
        done
        printf '%s\n' "$pkg"
    done
}
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -y -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" </dev/null
}

# build_tree DIR [CMAKE-OPTION...]: configures and builds the project in DIR; set PARAPET_TARGETS to build only these.
build_tree() {
    local dir=$1 target=()
    shift
    [ -z "${PARAPET_TARGETS:-}" ] || read -ra target <<<"--target $PARAPET_TARGETS"
    # What another clone or worktree on this machine has compiled serves here too.
    export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PARAPET_TOP} CCACHE_NOHASHDIR=1
    cmake -S "$PARAPET_TOP" -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@" >"$dir.configure.log" 2>&1 || {
        cat "$dir.configure.log" >&2
        die "cmake could not configure $dir; see its messages above"
    }
    rm -f "$dir.configure.log"
    cmake --build "$dir" "${target[@]}" -- --quiet | sed '/^ninja: no work to do/d'
}

# have_kvm: is there a /dev/kvm that we may open?
have_kvm() { [ -c /dev/kvm ] && { : <>/dev/kvm; } 2>/dev/null; }
