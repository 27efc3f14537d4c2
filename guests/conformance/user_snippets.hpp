// SPDX-License-Identifier: Apache-2.0
// User-mode code of user_snippets.S, and a way to name a piece once.
#pragma once

#include "guests/lib/user.hpp"

#define PARAPET_SNIPPET(name) extern char name[], name##_end[]

extern "C" {
PARAPET_SNIPPET(user_add_one);
PARAPET_SNIPPET(user_syscall_registers);
PARAPET_SNIPPET(user_read);
PARAPET_SNIPPET(user_write);
PARAPET_SNIPPET(user_ud2);
PARAPET_SNIPPET(user_int3);
PARAPET_SNIPPET(user_int80);
PARAPET_SNIPPET(user_int14);
PARAPET_SNIPPET(user_cli);
PARAPET_SNIPPET(user_port);
PARAPET_SNIPPET(user_fs_read);
PARAPET_SNIPPET(user_gs_read);
PARAPET_SNIPPET(user_spin);
PARAPET_SNIPPET(user_read_fs_base);
PARAPET_SNIPPET(user_swap_fs_base);
PARAPET_SNIPPET(user_swap_gs_base);
PARAPET_SNIPPET(user_cpuid);
PARAPET_SNIPPET(user_forced_cpuid);
PARAPET_SNIPPET(user_read_tsc);
}

/// Runs a piece of compatibility code in user mode; see user_call32.
#define RUN_USER32(name, ...) ::parapet::guest::user_call32(name, name##_end, __VA_ARGS__)
/// Runs a piece in user mode: RUN_USER(user_add_one, 1) is 2.
#define RUN_USER(name, ...) ::parapet::guest::user_call(name, name##_end, __VA_ARGS__)
