// SPDX-License-Identifier: Apache-2.0
// Unmaps its own code and handlers.
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"

int parapet::guest::guest_main() {
    print("expect: crash\n");
    // The level-2 entry of the whole image, and the entry of the root above it.
    const uint64_t here = address_of(hypercall_page);
    write_entry(entry_machine_address(here, 2), 0);
    write_entry(entry_machine_address(here, 4), 0);
    return 1;
}
