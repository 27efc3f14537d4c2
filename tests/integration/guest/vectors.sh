# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Vector and floating-point registers across context switches and signals.
vector_state "$(parameter seconds)" || fail "registers were lost"
