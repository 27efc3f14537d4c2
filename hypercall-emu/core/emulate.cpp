// SPDX-License-Identifier: Apache-2.0
// Privileged instructions of the deprivileged guest kernel, which arrive as #GP or #UD at ring 3.
#include "hypercall-emu/core/emulate.hpp"

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/cpuid.hpp"
#include "pv-abi/trap.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 LOW = 0xffffffff;
constexpr u64 CR0_TS = 1 << 3;

/// dr4 and dr5 are other names of dr6 and dr7, unless CR4.DE says that they are none. See debug_registers.cpp.
bool has_debug_register(const Vcpu& vcpu, unsigned number) {
    return number < 8 && ((number != 4 && number != 5) || (vcpu.cr4 & CR4_DE) == 0);
}

/// Precondition: there is one of that number.
Emulation read_debug_register(const Vcpu& vcpu, unsigned number, u64& value) {
    constexpr u64 DR6_ONES = 0xffff0ff0, DR7_ONES = 0x400;
    if (number == 4 || number == 5)
        number += 2;
    value = vcpu.dr[number];
    if (number == 6)
        value |= DR6_ONES;
    else if (number == 7)
        value |= vcpu.dr[5] | DR7_ONES;
    return Emulation::done;
}

/// 0x0f20-0x0f23: mov between a general and a control or debug register.
Emulation move_system_register(Vcpu& vcpu, const Instruction& insn) {
    constexpr u16 DEBUG_REGISTER = 1;
    if ((insn.opcode & DEBUG_REGISTER) != 0 && !has_debug_register(vcpu, insn.reg))
        return Emulation::undefined;
    u64& general = general_register(*vcpu.regs, insn.rm);
    switch (insn.opcode) {
    case 0x0f20:
        return read_control_register(vcpu, insn.reg, general);
    case 0x0f22:
        return write_control_register(vcpu, insn.reg, general);
    case 0x0f21:
        return read_debug_register(vcpu, insn.reg, general);
    default:
        return set_debug_register(vcpu, insn.reg, general) == 0 ? Emulation::done : Emulation::refused;
    }
}

Emulation read_time_stamp(Vcpu& vcpu, bool with_aux) {
    const u64 now = vcpu.domain->machine->read_tsc();
    vcpu.regs->rax = now & LOW;
    vcpu.regs->rdx = now >> 32;
    if (with_aux)
        vcpu.regs->rcx = vcpu.tsc_aux & LOW;
    return Emulation::done;
}

/// The group of 0x0f01: xgetbv, xsetbv, rdtscp, swapgs, lgdt and others by ModRM; smsw by `reg`.
Emulation group_0f01(Vcpu& vcpu, const Instruction& insn) {
    Regs& regs = *vcpu.regs;
    const u64 pair = (regs.rdx << 32) | (regs.rax & LOW);
    switch (insn.modrm) {
    case 0xd0: // xgetbv
        if (static_cast<u32>(regs.rcx) != 0 || (vcpu.cr4 & CR4_OSXSAVE) == 0)
            return Emulation::refused;
        regs.rax = vcpu.xcr0 & LOW;
        regs.rdx = vcpu.xcr0 >> 32;
        return Emulation::done;
    case 0xd1:
        return write_xcr(vcpu, static_cast<u32>(regs.rcx), pair);
    case 0xf9:
        return read_time_stamp(vcpu, true);
    default:
        break;
    }
    constexpr unsigned SMSW = 4;
    u64 value = 0;
    if ((insn.reg & 7) != SMSW || insn.has_memory || read_control_register(vcpu, 0, value) != Emulation::done)
        return Emulation::refused;
    write_register(regs, insn.rm, insn.operand_size, true, value);
    return Emulation::done;
}

Emulation kernel_instruction(Vcpu& vcpu, const Instruction& insn) {
    Regs& regs = *vcpu.regs;
    u64 value = 0;
    switch (insn.opcode) {
    case 0x0f01:
        return group_0f01(vcpu, insn);
    case 0x0f06: // clts
        if (read_control_register(vcpu, 0, value) != Emulation::done)
            return Emulation::refused;
        return write_control_register(vcpu, 0, value & ~CR0_TS);
    case 0x0f09: // wbinvd: the caches of this VM are coherent without our doing
        return Emulation::done;
    case 0x0f20:
    case 0x0f21:
    case 0x0f22:
    case 0x0f23:
        return move_system_register(vcpu, insn);
    case 0x0f30: // wrmsr
        return write_msr(vcpu, static_cast<u32>(regs.rcx), (regs.rdx << 32) | (regs.rax & LOW));
    case 0x0f31:
        return read_time_stamp(vcpu, false);
    case 0x0f32: { // rdmsr
        const Emulation outcome = read_msr(vcpu, static_cast<u32>(regs.rcx), value);
        if (outcome == Emulation::done) {
            regs.rax = value & LOW;
            regs.rdx = value >> 32;
        }
        return outcome;
    }
    case 0x0fa2: { // cpuid, where the processor lets us trap it
        u32 out[4];
        vcpu_cpuid(vcpu, static_cast<u32>(regs.rax), static_cast<u32>(regs.rcx), false, out);
        regs.rax = out[0];
        regs.rbx = out[1];
        regs.rcx = out[2];
        regs.rdx = out[3];
        return Emulation::done;
    }
    default:
        return Emulation::refused;
    }
}

Emulation emulate_one(Vcpu& vcpu, const Instruction& insn) {
    switch (insn.opcode) {
    case 0x6c: // ins, outs
    case 0x6d:
    case 0x6e:
    case 0x6f:
    case 0xe4: // in, out by immediate port
    case 0xe5:
    case 0xe6:
    case 0xe7:
    case 0xec: // in, out by dx
    case 0xed:
    case 0xee:
    case 0xef:
        return emulate_port_io(vcpu, insn);
    case 0xfa: // cli, sti: where allowed they do nothing, since popf could not undo them
    case 0xfb:
        return iopl_allows(vcpu) ? Emulation::done : Emulation::refused;
    default:
        return vcpu.kernel_mode != 0 ? kernel_instruction(vcpu, insn) : Emulation::refused;
    }
}

} // namespace

bool emulate_privileged(Vcpu& vcpu) {
    Instruction insn;
    if (!fetch_instruction(vcpu, insn) || insn.lock)
        return false;
    const Emulation outcome = emulate_one(vcpu, insn);
    switch (outcome) {
    case Emulation::refused:
        return false;
    case Emulation::undefined:
        deliver_exception(vcpu, abi::TRAP_invalid_op, 0);
        return true;
    case Emulation::done:
        finish_instruction(vcpu, insn.length);
        return true;
    case Emulation::again:
        return true;
    }
    return false;
}

bool emulate_forced_cpuid(Vcpu& vcpu) {
    constexpr u8 wanted[7] = {abi::XEN_EMULATE_PREFIX[0],
                              abi::XEN_EMULATE_PREFIX[1],
                              abi::XEN_EMULATE_PREFIX[2],
                              abi::XEN_EMULATE_PREFIX[3],
                              abi::XEN_EMULATE_PREFIX[4],
                              0x0f,
                              0xa2};
    Regs& regs = *vcpu.regs;
    u8 bytes[sizeof(wanted)];
    // Two bytes first: a plain ud2 at the end of a page must not read on.
    if (!copy_from_guest(vcpu, bytes, {regs.rip}, 2) || bytes[0] != wanted[0] || bytes[1] != wanted[1])
        return false;
    if (!copy_from_guest(vcpu, bytes, {regs.rip}, sizeof(bytes)))
        return false;
    for (unsigned i = 0; i < sizeof(wanted); i++) {
        if (bytes[i] != wanted[i])
            return false;
    }
    if (vcpu.cpuid_faults && vcpu.kernel_mode == 0) {
        regs.rip += sizeof(abi::XEN_EMULATE_PREFIX);
        deliver_exception(vcpu, abi::TRAP_gp_fault, 0);
        return true;
    }
    u32 out[4];
    vcpu_cpuid(vcpu, static_cast<u32>(regs.rax), static_cast<u32>(regs.rcx), vcpu.kernel_mode != 0, out);
    regs.rax = out[0];
    regs.rbx = out[1];
    regs.rcx = out[2];
    regs.rdx = out[3];
    finish_instruction(vcpu, sizeof(wanted));
    return true;
}

} // namespace parapet::nucleus
