// SPDX-License-Identifier: Apache-2.0
// A handler that returns to the faulting instruction, for ever. Parapet crashes it once it is sure (sooner on a
// fast machine); Xen lets it go on. Harmless to the host.
#include "guests/lib/console.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/traps.hpp"

int parapet::guest::guest_main() {
    print("expect: any\n");
    set_trap_handler(vector_pf, [](TrapFrame&) {});
    *reinterpret_cast<volatile uint64_t*>(0x7000) = 1;
    return 1;
}
