// SPDX-License-Identifier: Apache-2.0
// Port I/O of a domain without devices: where it is allowed, reads give ones and writes vanish.
#include "hypercall-emu/core/emulate.hpp"
#include "hypercall-emu/core/guest_memory.hpp"

namespace parapet::nucleus {

namespace {

/// A port is open by IOPL, or by a clear bit for each of its bytes in the bitmap that the guest's kernel registered.
/// The address is the kernel's: what user mode has there, where it runs on a root of its own, has no say (Xen:
/// guest_io_okay).
bool port_open(Vcpu& vcpu, u32 port, unsigned size) {
    if (iopl_allows(vcpu))
        return true;
    if (vcpu.io_bitmap_va == 0 || port + size > vcpu.io_bitmap_ports)
        return false;
    u8 bits[2] = {0xff, 0xff};
    if (!copy_from_guest_kernel(vcpu, &bits[0], {vcpu.io_bitmap_va + port / 8}, 1))
        return false;
    if (port % 8 + size > 8 && !copy_from_guest_kernel(vcpu, &bits[1], {vcpu.io_bitmap_va + port / 8 + 1}, 1))
        return false;
    const unsigned word = bits[0] | (static_cast<unsigned>(bits[1]) << 8);
    return (word & (((1u << size) - 1) << (port % 8))) == 0;
}

/// What a port reads as: all ones, but for the two by which kernels calibrate against a timer chip. Channel 2 of that
/// chip reads as stopped at zero with its output high, so that calibration fails at its first reading instead of
/// polling all ones a hundred thousand times; the time base of a PV guest is vcpu_time_info.
u64 read_port(u32 port) {
    constexpr u32 PIT_CHANNEL_2 = 0x42, SYSTEM_CONTROL_B = 0x61;
    constexpr u64 CHANNEL_2_OUTPUT = 0x20;
    switch (port) {
    case PIT_CHANNEL_2:
        return 0;
    case SYSTEM_CONTROL_B:
        return CHANNEL_2_OUTPUT;
    default:
        return ~0ULL;
    }
}

Emulation string_io(Vcpu& vcpu, const Instruction& insn, unsigned size, bool input) {
    if (insn.segment != Segment::flat)
        return Emulation::refused;
    if (count_exhausted(vcpu, insn))
        return Emulation::done;
    const Regs& regs = *vcpu.regs;
    const GuestVa va{(input ? regs.rdi : regs.rsi) & size_mask(insn.address_size)};
    u64 value = ~0ULL;
    if (input ? !copy_to_guest(vcpu, va, &value, size) : !copy_from_guest(vcpu, &value, va, size))
        return Emulation::refused;
    return finish_element(vcpu, insn, size, !input, input);
}

} // namespace

bool iopl_allows(const Vcpu& vcpu) {
    // The kernel counts as ring 1, as in Xen without the architectural_iopl assist.
    return vcpu.iopl >= (vcpu.kernel_mode != 0 ? 1u : 3u);
}

Emulation emulate_port_io(Vcpu& vcpu, const Instruction& insn) {
    Regs& regs = *vcpu.regs;
    const bool byte = (insn.opcode & 1) == 0;
    const unsigned size = byte ? 1 : insn.operand_prefix ? 2 : 4;
    const bool by_immediate = insn.opcode >= 0xe4 && insn.opcode <= 0xe7;
    const u32 port = by_immediate ? static_cast<u8>(insn.immediate) : static_cast<u16>(regs.rdx);
    if (!port_open(vcpu, port, size))
        return Emulation::refused;
    if (insn.opcode <= 0x6f)
        return string_io(vcpu, insn, size, insn.opcode <= 0x6d);
    if ((insn.opcode & 2) == 0)
        write_register(regs, 0, size, true, read_port(port));
    return Emulation::done;
}

} // namespace parapet::nucleus
