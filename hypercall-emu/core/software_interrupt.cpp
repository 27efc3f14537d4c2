// SPDX-License-Identifier: Apache-2.0
// `int n` of the guest, for where it reaches us as a fault: as #GP with an IDT error code, because the processor's
// gates are for ring 0 only, or as #UD, because the substrate does not run it (docs/substrates.md).
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/instruction.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/trap.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 ERROR_IDT = 2;

/// The vector and length of the software interrupt at rip; length 0: there is none. No prefix changes what it does.
struct SoftwareInterrupt {
    unsigned vector;
    unsigned length;
};

SoftwareInterrupt at_rip(Vcpu& vcpu) {
    u8 bytes[2];
    const GuestVa rip{vcpu.regs->rip};
    if (!copy_from_guest(vcpu, bytes, rip, 1))
        return {};
    switch (bytes[0]) {
    case 0xcc:
        return {abi::TRAP_int3, 1};
    case 0xcd:
        if (!copy_from_guest(vcpu, bytes + 1, rip + 1, 1))
            return {};
        return {bytes[1], 2};
    default: // `into` is invalid in 64-bit mode, and in compatibility mode it is native everywhere
        return {};
    }
}

} // namespace

bool emulate_software_interrupt(Vcpu& vcpu) {
    const SoftwareInterrupt found = at_rip(vcpu);
    if (found.length == 0)
        return false;
    const TrapHandler& handler = vcpu.traps[found.vector];
    const unsigned privilege = vcpu.kernel_mode != 0 ? 1 : 3; // the kernel counts as ring 1
    if (handler.address == 0 || (handler.flags & abi::TI_DPL_MASK) < privilege) {
        deliver_exception(vcpu, abi::TRAP_gp_fault, (found.vector << 3) | ERROR_IDT);
        return true;
    }
    vcpu.regs->rip += found.length;
    vcpu.regs->rflags &= ~rflags::RF;
    deliver_software_interrupt(vcpu, found.vector);
    return true;
}

} // namespace parapet::nucleus
