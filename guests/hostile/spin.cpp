// SPDX-License-Identifier: Apache-2.0
// Spins with events masked.
#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/kernel.hpp"

int parapet::guest::guest_main() {
    print("expect: timeout\n");
    mask_events();
    for (;;) {
        asm volatile("" : : : "memory");
    }
}
