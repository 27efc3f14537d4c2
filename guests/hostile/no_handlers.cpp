// SPDX-License-Identifier: Apache-2.0
// The last handler is gone: an exception has nowhere to go.
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"

int parapet::guest::guest_main() {
    print("expect: crash\n");
    hypercall(__HYPERVISOR_set_trap_table, nullptr);
    asm volatile("ud2");
    return 1;
}
