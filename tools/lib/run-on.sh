#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a test where it wants to run: `run-on.sh kvm COMMAND...` on this machine's /dev/kvm, exit status 77 (skipped, see
# CTest's SKIP_RETURN_CODE) where there is none; `run-on.sh rig [LAPTOP-OPTION]... COMMAND...` in the laptop rig;
# `run-on.sh either [LAPTOP-OPTION]... -- COMMAND...` in the rig where there is no /dev/kvm.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

where=${1:-}
shift || true
case $where in
kvm)
    have_kvm || { say "skipped: no /dev/kvm here that we may open"; exit 77; }
    [ "${1:-}" != -- ] || shift
    exec "$@"
    ;;
rig) exec "$PARAPET_TOP/tools/laptop" "$@" ;;
either)
    options=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift || die "run-on.sh: either wants -- before the command"
    if have_kvm; then exec "$@"; fi
    exec "$PARAPET_TOP/tools/laptop" "${options[@]}" "$@" </dev/null
    ;;
*) die "usage: run-on.sh kvm|rig|either COMMAND..." ;;
esac
