# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# What the integration tests' guests run: the script that parapet.test= on the kernel's command line names.
# parameter NAME: prints the value of parapet.NAME= on the kernel's command line.
parameter() {
    local word
    # shellcheck disable=SC2013 # words are wanted
    for word in $(cat /proc/cmdline); do
        case $word in "parapet.$1="*) echo "${word#*=}" ;; esac
    done
}
fail() {
    echo "test: FAIL: $*"
    exit 1
}
test=$(parameter test)
[ -r "/tests/$test.sh" ] || fail "there is no script '$test'"
# shellcheck disable=SC1090 # which one, the command line says
. "/tests/$test.sh"
echo "test: PASS"
