// SPDX-License-Identifier: Apache-2.0
// The page-fault handler is itself not mapped: each fault raises the next until the stack is used up.
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/traps.hpp"

int parapet::guest::guest_main() {
    print("expect: crash\n");
    trap_info_t table[] = {{vector_pf, 0, FLAT_KERNEL_CS, 0x6000}, {}};
    hypercall(__HYPERVISOR_set_trap_table, table);
    *reinterpret_cast<volatile uint64_t*>(0x7000) = 1;
    return 1;
}
