// SPDX-License-Identifier: Apache-2.0
// Power-off, reboot, crash.
#include "guests/lib/shutdown.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/traps.hpp"

namespace parapet::guest {

namespace {

/// Xen halts, and does not power off, when its initial domain shuts down. So that runs on the reference end, that
/// domain does what its ACPI driver would: the sleep command (SLP_EN, type 0: S5) to the PM1a control port of QEMU's
/// PC.
void power_off_machine() {
    constexpr uint16_t pm1a_control = 0x604;
    constexpr uint16_t sleep_s5 = 0x2000;
    physdev_set_iopl iopl{1};
    if (hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &iopl) == 0) {
        catch_trap([] { asm volatile("outw %0, %1" : : "a"(sleep_s5), "Nd"(pm1a_control)); });
    }
}

} // namespace

void shutdown(unsigned reason) {
    console_drain(1000);
    if (reason == SHUTDOWN_poweroff && is_initial_domain()) {
        power_off_machine();
    }
    sched_shutdown argument{reason};
    for (;;) {
        sched_op(SCHEDOP_shutdown, &argument);
    }
}

} // namespace parapet::guest
