# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# 32-bit programs on the 64-bit kernel.
program32 && fail "program32 should have ended with 32"
[ $? = 32 ] || fail "program32 has failed"
