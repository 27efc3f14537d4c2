// SPDX-License-Identifier: Apache-2.0
// Takes its last virtual CPU down, as a kernel does that meets a BUG before it can print. Nobody asked for power-off.
// log: the guest stopped its last virtual CPU without shutting down
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"

int parapet::guest::guest_main() {
    print("expect: crash\n");
    const long result = vcpu_op(VCPUOP_down, 0, nullptr);
    print("VCPUOP_down came back: %ld\n", result);
    return 1;
}
