// SPDX-License-Identifier: Apache-2.0
// set_debugreg, get_debugreg. The registers are loaded into the processor, so nothing may reach it that could stop
// the nucleus: no breakpoint in the hole, no general detect, no I/O breakpoint.
//
// Vcpu::dr[7] is what the processor gets; the enable bits of I/O breakpoints, which it does not get, are in dr[5].
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {
namespace {

constexpr u64 CR4_DE = 1 << 3;
constexpr u64 DR6_ZERO_MASK = 0xffffefff, DR6_ONES = 0xffff0ff0;
constexpr u64 DR7_ZERO_MASK = 0xffff27ff, DR7_ONES = 0x400, DR7_GENERAL_DETECT = 1 << 13, DR7_ENABLES = 0xff;
constexpr unsigned KIND_SHIFT = 16, KIND_BITS = 4;
constexpr u64 KIND_IO = 2;

/// An access of up to 8 bytes there stays outside the hole.
bool breakpoint_allowed(u64 address) {
    return is_guest_va(address) && (address >= HOLE_END || is_guest_va(address + 7));
}

Status set_control(Vcpu& vcpu, u64 value) {
    value = (value & (DR7_ZERO_MASK | DR7_GENERAL_DETECT)) | DR7_ONES;
    if ((value & DR7_GENERAL_DETECT) != 0)
        return -abi::XEN_EPERM;
    u64 io_enables = 0;
    if ((value & DR7_ENABLES) != 0) {
        for (unsigned i = 0; i < 4; i++) {
            if (((value >> (KIND_SHIFT + KIND_BITS * i)) & 3) != KIND_IO)
                continue;
            if ((vcpu.cr4 & CR4_DE) == 0)
                return -abi::XEN_EPERM;
            io_enables |= value & (3ULL << (2 * i));
        }
    }
    vcpu.dr[5] = io_enables;
    vcpu.dr[7] = value & ~io_enables;
    return 0;
}

Status set_register(Vcpu& vcpu, unsigned number, u64 value) {
    if ((number == 4 || number == 5) && (vcpu.cr4 & CR4_DE) != 0)
        return -abi::XEN_ENODEV; // otherwise other names of 6 and 7
    if (number >= 4 && number <= 7 && (value >> 32) != 0)
        return -abi::XEN_EINVAL;
    switch (number) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (!breakpoint_allowed(value))
            return -abi::XEN_EPERM;
        vcpu.dr[number] = value;
        return 0;
    case 4:
    case 6:
        vcpu.dr[6] = (value & DR6_ZERO_MASK) | DR6_ONES;
        return 0;
    case 5:
    case 7:
        return set_control(vcpu, value);
    default:
        return -abi::XEN_ENODEV;
    }
}

} // namespace

Status set_debug_register(Vcpu& vcpu, unsigned number, u64 value) {
    const Status status = set_register(vcpu, number, value);
    if (status == 0)
        vcpu.work.flags |= ExitWork::DEBUG_REGS;
    return status;
}

Status do_set_debugreg(Vcpu& vcpu, const HypercallArgs& args) {
    return set_debug_register(vcpu, static_cast<u32>(args.a[0]), args.a[1]);
}

Status do_get_debugreg(Vcpu& vcpu, const HypercallArgs& args) {
    const u32 number = static_cast<u32>(args.a[0]);
    const bool aliases = (vcpu.cr4 & CR4_DE) == 0;
    switch (number) {
    case 0:
    case 1:
    case 2:
    case 3:
        return static_cast<Status>(vcpu.dr[number]);
    case 4:
        return aliases ? static_cast<Status>(vcpu.dr[6] | DR6_ONES) : -abi::XEN_ENODEV;
    case 6:
        return static_cast<Status>(vcpu.dr[6] | DR6_ONES);
    case 5:
        return aliases ? static_cast<Status>(vcpu.dr[7] | vcpu.dr[5] | DR7_ONES) : -abi::XEN_ENODEV;
    case 7:
        return static_cast<Status>(vcpu.dr[7] | vcpu.dr[5] | DR7_ONES);
    default:
        return -abi::XEN_ENODEV;
    }
}

} // namespace parapet::nucleus
