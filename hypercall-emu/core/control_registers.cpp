// SPDX-License-Identifier: Apache-2.0
// Control registers as a PV guest sees them: CR0 shows what the processor has, CR3 the guest's own root.
#include "hypercall-emu/core/emulate.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 CR0_SHOWN = 0x80050033; // PG, AM, WP, NE, ET, MP, PE
constexpr u64 CR0_TS = 1 << 3;

/// The CR4 bits that the CPUID policy lets the guest control.
u64 cr4_guest_bits(const Domain& domain) {
    u32 leaf[4];
    guest_cpuid(domain, 1, 0, leaf);
    u64 bits = 0;
    if ((leaf[3] & (1u << 4)) != 0)
        bits |= CR4_TSD;
    if ((leaf[3] & (1u << 2)) != 0)
        bits |= CR4_DE;
    if ((leaf[2] & (1u << 26)) != 0)
        bits |= CR4_OSXSAVE;
    guest_cpuid(domain, 7, 0, leaf);
    if ((leaf[1] & 1) != 0)
        bits |= CR4_FSGSBASE;
    return bits;
}

/// Does the architecture allow these state components together?
bool legal_xcr0(u64 value) {
    constexpr u64 X87 = 1, SSE = 2, YMM = 4, BOUNDS = 3 << 3, AVX512 = 7 << 5, TILE = 3 << 17;
    if ((value & X87) == 0 || ((value & YMM) != 0 && (value & SSE) == 0))
        return false;
    if ((value & BOUNDS) != 0 && (value & BOUNDS) != BOUNDS)
        return false;
    if ((value & AVX512) != 0 && ((value & AVX512) != AVX512 || (value & YMM) == 0))
        return false;
    return (value & TILE) == 0 || (value & TILE) == TILE;
}

} // namespace

Emulation read_control_register(Vcpu& vcpu, unsigned number, u64& value) {
    switch (number) {
    case 0:
        value = CR0_SHOWN | (vcpu.ts != 0 ? CR0_TS : 0);
        return Emulation::done;
    case 2:
        value = vcpu.info64().arch.cr2;
        return Emulation::done;
    case 3:
        value = vcpu.kernel_root.address();
        return Emulation::done;
    case 4:
        value = vcpu.cr4 | CR4_SHOWN;
        return Emulation::done;
    default:
        return Emulation::refused;
    }
}

Emulation write_control_register(Vcpu& vcpu, unsigned number, u64 value) {
    switch (number) {
    case 0:
        if ((value & ~CR0_TS) != CR0_SHOWN)
            return Emulation::refused;
        return do_fpu_taskswitch(vcpu, {{(value & CR0_TS) != 0 ? 1ULL : 0ULL}}) == 0 ? Emulation::done
                                                                                     : Emulation::refused;
    case 2:
        vcpu.info64().arch.cr2 = value;
        return Emulation::done;
    case 3:
        return set_kernel_root(vcpu, {(value & Pte::FRAME_MASK) >> PAGE_SHIFT}) == 0 ? Emulation::done
                                                                                     : Emulation::refused;
    case 4: // bits that are not the guest's are dropped without a word, as Xen does
        value = (value & cr4_guest_bits(*vcpu.domain)) | CR4_SHOWN;
        if (((vcpu.cr4 ^ value) & CR4_LOADED) != 0)
            vcpu.work.flags |= ExitWork::LOAD_FEATURES;
        vcpu.cr4 = value;
        return Emulation::done;
    default:
        return Emulation::refused;
    }
}

Emulation write_xcr(Vcpu& vcpu, u32 index, u64 value) {
    // XCR0 of the processor stays what the substrate gave: a subset only means that the guest saves less.
    if (index != 0 || (vcpu.cr4 & CR4_OSXSAVE) == 0 || (value & ~vcpu.domain->boot->xcr0) != 0 || !legal_xcr0(value))
        return Emulation::refused;
    vcpu.xcr0 = value;
    return Emulation::done;
}

} // namespace parapet::nucleus
