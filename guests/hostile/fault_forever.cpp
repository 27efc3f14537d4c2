// SPDX-License-Identifier: Apache-2.0
// A handler of the guest kernel's that returns to the faulting instruction, for ever. Parapet crashes it once it is
// sure; Xen lets it go on until the timeout.
#include "guests/lib/console.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/traps.hpp"

int parapet::guest::guest_main() {
    print("expect: any\n");
    set_trap_handler(vector_pf, [](TrapFrame&) {});
    *reinterpret_cast<volatile uint64_t*>(0x7000) = 1;
    return 1;
}
