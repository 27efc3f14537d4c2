// SPDX-License-Identifier: Apache-2.0
// SYSCALL and SYSENTER of 32-bit programs, for where they reach us as faults. A KVM that interprets compatibility code
// would let SYSCALL arrive at ring 0 on the program's own stack; so EFER.SCE is clear there (vmm/vcpu_setup.cpp), and
// the instruction is undefined. So is SYSENTER of an AMD processor in long mode, as its manual has it. Intel's is a
// #GP, as no selector of its is set there.
#include "hypercall-emu/core/descriptor.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 LOW = 0xffffffff;

/// What the processor has loaded by this selector, as far as the guest's tables are concerned; 0: none of theirs.
u64 guest_descriptor(Vcpu& vcpu, u16 selector) {
    constexpr u16 TABLE = 4;
    const unsigned index = selector >> 3;
    u64 descriptor = 0;
    if ((selector & TABLE) != 0) {
        if (index < vcpu.ldt_entries)
            (void)copy_from_guest_kernel(vcpu, &descriptor, {vcpu.ldt_base + index * sizeof(u64)}, sizeof(u64));
    } else if (index < vcpu.gdt_entries) {
        const Mfn page{vcpu.gdt_frames[index / DESCRIPTORS_PER_PAGE]};
        descriptor = static_cast<const u64*>(vcpu.domain->machine->frame(page))[index % DESCRIPTORS_PER_PAGE];
    }
    return descriptor;
}

/// A code segment of compatibility mode: where it begins.
struct CompatCode {
    bool found;
    u64 base;
};

CompatCode compat_code(Vcpu& vcpu) {
    constexpr u64 LONG_MODE = 1ULL << 53, PRESENT_CODE = 1ULL << 47 | 1ULL << 44 | 1ULL << 43;
    const u16 selector = static_cast<u16>(vcpu.regs->cs);
    if (selector == abi::x64::FLAT_RING3_CS32)
        return {true, 0};
    const u64 descriptor = guest_descriptor(vcpu, selector);
    if ((descriptor & PRESENT_CODE) != PRESENT_CODE || (descriptor & LONG_MODE) != 0)
        return {};
    return {true, (descriptor >> 16 & 0xffffff) | (descriptor >> 56) << 24};
}

bool is_prefix(u8 byte) {
    switch (byte) {
    case 0x26: // segments
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66: // sizes
    case 0x67:
    case 0xf2: // repetition
    case 0xf3:
        return true;
    default: // not lock: with it the instruction is undefined
        return false;
    }
}

/// Second byte of the two-byte instruction at rip, and its length with all prefixes; length 0: there is none.
struct TwoByte {
    u8 opcode;
    unsigned length;
};

TwoByte at_rip(Vcpu& vcpu, u64 base) {
    constexpr unsigned MAX_LENGTH = 15;
    for (unsigned at = 0; at < MAX_LENGTH; at++) {
        u8 bytes[2];
        const GuestVa here{(base + vcpu.regs->rip + at) & LOW};
        if (!copy_from_guest(vcpu, &bytes[0], here, 1))
            return {};
        if (is_prefix(bytes[0]))
            continue;
        if (bytes[0] != 0x0f || at + 1 == MAX_LENGTH ||
            !copy_from_guest(vcpu, &bytes[1], {(here.address + 1) & LOW}, 1))
            return {};
        return {bytes[1], at + 2};
    }
    return {};
}

/// The two-byte instruction of compatibility code of user mode; length 0: there is none.
TwoByte user_instruction(Vcpu& vcpu) {
    if (vcpu.kernel_mode != 0)
        return {};
    const CompatCode code = compat_code(vcpu);
    return code.found ? at_rip(vcpu, code.base) : TwoByte{};
}

} // namespace

bool emulate_compat_sysenter(Vcpu& vcpu) {
    constexpr u8 SYSENTER = 0x34;
    constexpr u64 NULL_CS = 3, KEPT = ~(rflags::RF | rflags::VM);
    if (vcpu.domain->boot->syscall_arrival != doorbell::SyscallArrival::page_fault || vcpu.regs->error != 0 ||
        vcpu.sysenter_callback.address == 0)
        return false;
    const TwoByte found = user_instruction(vcpu);
    if (found.length == 0 || found.opcode != SYSENTER)
        return false;
    Regs& regs = *vcpu.regs;
    regs.rip = regs.rsp = 0; // as sysenter_entry has it: the instruction keeps neither
    regs.cs = NULL_CS;
    regs.ss = abi::x64::FLAT_KERNEL_SS;
    regs.rflags &= KEPT;
    deliver_sysenter(vcpu);
    return true;
}

bool emulate_compat_syscall(Vcpu& vcpu) {
    constexpr u8 SYSCALL = 0x05;
    const TwoByte found = user_instruction(vcpu);
    if (found.length == 0 || found.opcode != SYSCALL || vcpu.syscall32_entry == 0)
        return false;
    Regs& regs = *vcpu.regs;
    regs.rip = (regs.rip + found.length) & LOW;
    regs.rflags &= ~rflags::RF;
    regs.rcx = regs.rip;
    regs.r11 = regs.rflags;
    regs.cs = abi::x64::FLAT_RING3_CS32;
    regs.ss = abi::x64::FLAT_KERNEL_SS;
    deliver_syscall32(vcpu);
    return true;
}

} // namespace parapet::nucleus
