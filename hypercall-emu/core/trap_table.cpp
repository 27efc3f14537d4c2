// SPDX-License-Identifier: Apache-2.0
// set_trap_table: the guest's virtual IDT.
#include "hypercall-emu/core/checks.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/trap.hpp"

namespace parapet::nucleus {

void set_trap(Vcpu& vcpu, u8 vector, const TrapHandler& handler) {
    vcpu.traps[vector] = handler;
    if (vector == abi::TRAP_page_fault)
        choose_page_fault_path(vcpu);
}

void choose_page_fault_path(Vcpu& vcpu) {
    // The stubs deliver by SYSRET, which is refused where SYSCALL arrives as a page fault (docs/substrates.md). And
    // they know nothing of I/O memory.
    const Domain& domain = *vcpu.domain;
    const bool by_stubs = domain.boot->syscall_arrival == doorbell::SyscallArrival::ring0 && domain.io_mappings == 0;
    vcpu.page_fault = by_stubs ? vcpu.traps[abi::TRAP_page_fault] : TrapHandler{};
}

/// The table ends with an entry of address 0. No table: no handlers.
Status do_set_trap_table(Vcpu& vcpu, const HypercallArgs& args) {
    GuestVa table{args.a[0]};
    if (table.address == 0) {
        for (unsigned vector = 0; vector < 256; vector++)
            set_trap(vcpu, static_cast<u8>(vector), {});
        return 0;
    }
    for (unsigned done = 0;; done++) {
        // More entries than vectors is odd, but the ABI's to take: never long without looking at events.
        if (done == 256 || (done != 0 && done % 64 == 0 && preemption_due(vcpu)))
            return continue_hypercall(vcpu, {table.address});
        abi::trap_info64 trap;
        if (!get(vcpu, trap, table))
            return -abi::XEN_EFAULT;
        if (trap.address == 0)
            return 0;
        if (!is_guest_va(trap.address))
            return -abi::XEN_EINVAL;
        set_trap(vcpu, trap.vector, {.address = trap.address, .cs = ring3_selector(trap.cs), .flags = trap.flags});
        table = table + sizeof(trap);
    }
}

} // namespace parapet::nucleus
