#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/test --on: builds the tree and runs its unit tests in a root file system of another Debian release.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$PARAPET_TOP/tools/lib/suite_root.sh"

release=${1:-} compiler='' targets='' tests=(-L unit)
case $release in
debian12) suite=bookworm ;;
debian13) suite=trixie ;;
*) say "tools/test --on: takes debian12 or debian13, not '$release'"; exit 2 ;;
esac
shift
while [ $# -gt 0 ]; do
    case $1 in
    --compiler) compiler=${2:?--compiler wants a name, such as gcc-13 or clang-19}; shift ;;
    # For CI: the product, and the tests of its core and of its control plane.
    --part) targets="parapet tests/unit/nucleus/all tests/unit/cli/all"; tests+=(-R "^(nucleus_|test_cli)") ;;
    *) say "tools/test --on: unknown option '$1'"; exit 2 ;;
    esac
    shift
done

root=$(suite_root "$suite")
# in_root COMMAND...: with this tree's helpers at hand.
in_root() { suite_run "$root" "$PARAPET_TOP" bash -c ". tools/lib/common.sh; $1"; }
case $compiler in
'') build=build-$release options='' ;;
gcc-*) build=build-$release-$compiler options="-DCMAKE_C_COMPILER=$compiler -DCMAKE_CXX_COMPILER=g++-${compiler#gcc-}" ;;
clang-*) build=build-$release-$compiler options="-DCMAKE_C_COMPILER=$compiler -DCMAKE_CXX_COMPILER=clang++-${compiler#clang-}" ;;
*) say "tools/test --on: --compiler takes gcc-N or clang-N, not '$compiler'"; exit 2 ;;
esac
[ -z "$compiler" ] || in_root "need_packages $compiler $([ "${compiler%-*}" != gcc ] || printf 'g++-%s' "${compiler#gcc-}")"
say "test: the build on Debian's $suite${compiler:+ by $compiler}"
in_root "PARAPET_TARGETS='$targets' build_tree $build $options"
[ -z "$compiler" ] || exit 0
say "test: the unit tests on Debian's $suite"
in_root "ctest --test-dir $build --output-on-failure --no-tests=error -j \"\$(nproc)\" $(printf '%q ' "${tests[@]}")"
