// SPDX-License-Identifier: Apache-2.0
// Blocks with nothing that could ever wake it.
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"

int parapet::guest::guest_main() {
    print("expect: timeout\n");
    for (;;) {
        sched_op(SCHEDOP_block);
    }
}
