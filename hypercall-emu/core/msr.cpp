// SPDX-License-Identifier: Apache-2.0
// Model-specific registers by an allow list; what is not in it is a #GP, which Linux's safe accessors expect.
#include "hypercall-emu/core/msr.hpp"
#include "hypercall-emu/core/emulate.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/boot_features.hpp"

namespace parapet::nucleus {

namespace {

enum class Vendor : u8 { any, intel, amd };

Vendor vendor(const Domain& domain) {
    u32 out[4];
    guest_cpuid(domain, 0, 0, out);
    if (out[1] == 0x756e6547) // "Genu"
        return Vendor::intel;
    if (out[1] == 0x68747541 || out[1] == 0x6f677948) // "Auth", "Hygo"
        return Vendor::amd;
    return Vendor::any;
}

/// MSRs that read as a constant. Writing the same value is accepted where `writable`.
struct Constant {
    u32 index;
    Vendor vendor;
    bool writable;
    u64 value;
};

constexpr Constant CONSTANTS[] = {
    {msr::PLATFORM_ID, Vendor::intel, false, 0},
    {msr::UCODE_REV, Vendor::any, true, 0}, // the write of 0 asks for a refresh
    {msr::MTRR_CAP, Vendor::any, false, 0}, // none
    {msr::MTRR_DEF_TYPE, Vendor::any, false, 0},
    {msr::MCG_CAP, Vendor::any, false, 0}, // no banks
    {msr::MCG_STATUS, Vendor::any, true, 0},
    {msr::MISC_ENABLE, Vendor::intel, true, 0x801801}, // fast strings; no BTS, PEBS, xTPR
    {msr::PAT, Vendor::any, true, msr::PAT_VALUE},
    {msr::HWCR, Vendor::amd, true, 1 << 24},  // the TSC counts at the P0 frequency
    {msr::DE_CFG, Vendor::amd, true, 1 << 1}, // LFENCE serialises
};

const Constant* find_constant(const Domain& domain, u32 index) {
    for (const Constant& row : CONSTANTS) {
        if (row.index == index && (row.vendor == Vendor::any || row.vendor == vendor(domain)))
            return &row;
    }
    return nullptr;
}

bool is_base(u32 index) {
    return index == msr::FS_BASE || index == msr::GS_BASE || index == msr::KERNEL_GS_BASE;
}

/// What the guest's own value will be once the home has written what is queued.
u64 read_base(Vcpu& vcpu, u32 index) {
    const ExitWork& work = vcpu.work;
    if ((work.flags & ExitWork::WRITE_MSR) != 0) {
        for (u32 i = 0; i < work.nr_msrs; i++) {
            if (work.msrs[i].index == index)
                return work.msrs[i].value;
        }
    }
    return vcpu.domain->machine->read_msr(index);
}

u64 efer(const Domain& domain) {
    constexpr u64 SCE = 1, LME = 1 << 8, LMA = 1 << 10, NX = 1 << 11;
    return SCE | LME | LMA | (domain.boot->has_nx != 0 ? NX : 0);
}

bool offers_cpuid_faulting(const Domain& domain) {
    return (domain.boot->domain.features & doorbell::BOOT_CPUID_FAULTING) != 0;
}

bool offers_tsc_aux(const Domain& domain) {
    u32 extended[4];
    u32 features[4];
    guest_cpuid(domain, 0x80000001, 0, extended);
    guest_cpuid(domain, 7, 0, features);
    return (extended[3] & (1u << 27)) != 0 || (features[2] & (1u << 22)) != 0; // rdtscp, rdpid
}

/// Speculation control offered by the policy: IBRS, STIBP or SSBD, by either vendor's bits.
bool offers_speculation_control(const Domain& domain) {
    u32 features[4];
    u32 extended[4];
    guest_cpuid(domain, 7, 0, features);
    guest_cpuid(domain, 0x80000008, 0, extended);
    return (features[3] & ((1u << 26) | (1u << 27) | (1u << 31))) != 0 ||
           (extended[1] & ((1u << 14) | (1u << 15) | (1u << 24))) != 0;
}

bool offers_arch_capabilities(const Domain& domain) {
    u32 features[4];
    guest_cpuid(domain, 7, 0, features);
    return (features[3] & (1u << 29)) != 0;
}

} // namespace

Emulation read_msr(Vcpu& vcpu, u32 index, u64& value) {
    const Domain& domain = *vcpu.domain;
    if (is_base(index)) {
        value = read_base(vcpu, index);
        return Emulation::done;
    }
    if (const Constant* row = find_constant(domain, index); row != nullptr) {
        value = row->value;
        return Emulation::done;
    }
    switch (index) {
    case msr::TSC:
        value = vcpu.domain->machine->read_tsc();
        return Emulation::done;
    case msr::APIC_BASE: // Linux reads it; there is no APIC to be had
        value = 0xfee00000 | (1 << 11) | (vcpu.id == 0 ? 1 << 8 : 0);
        return Emulation::done;
    case msr::EFER:
        value = efer(domain);
        return Emulation::done;
    case msr::PLATFORM_INFO:
        value = offers_cpuid_faulting(domain) ? msr::CPUID_FAULTING : 0;
        return Emulation::done;
    case msr::MISC_FEATURES_ENABLES:
        value = vcpu.cpuid_faults ? msr::CPUID_FAULTS : 0;
        return Emulation::done;
    case msr::TSC_AUX:
        value = vcpu.tsc_aux;
        return offers_tsc_aux(domain) ? Emulation::done : Emulation::refused;
    case msr::SPEC_CTRL:
        value = vcpu.spec_ctrl;
        return offers_speculation_control(domain) ? Emulation::done : Emulation::refused;
    case msr::ARCH_CAPABILITIES:
        value = 0;
        return offers_arch_capabilities(domain) ? Emulation::done : Emulation::refused;
    default:
        return Emulation::refused;
    }
}

Emulation write_msr(Vcpu& vcpu, u32 index, u64 value) {
    const Domain& domain = *vcpu.domain;
    if (is_base(index)) {
        if (!is_canonical(value))
            return Emulation::refused;
        queue_msr(vcpu, index, value);
        return Emulation::done;
    }
    if (const Constant* row = find_constant(domain, index); row != nullptr)
        return row->writable && row->value == value ? Emulation::done : Emulation::refused;
    switch (index) {
    case msr::EFER:
        return value == efer(domain) ? Emulation::done : Emulation::refused;
    case msr::MISC_FEATURES_ENABLES:
        if ((value & ~(offers_cpuid_faulting(domain) ? msr::CPUID_FAULTS : 0)) != 0)
            return Emulation::refused;
        vcpu.cpuid_faults = value != 0;
        vcpu.work.flags |= ExitWork::LOAD_FEATURES;
        return Emulation::done;
    case msr::TSC_AUX:
        if (!offers_tsc_aux(domain) || (value >> 32) != 0)
            return Emulation::refused;
        vcpu.tsc_aux = value;
        queue_msr(vcpu, index, value);
        return Emulation::done;
    case msr::SPEC_CTRL: // remembered only: the host's own settings protect the host
        if (!offers_speculation_control(domain) || (value & ~7ULL) != 0)
            return Emulation::refused;
        vcpu.spec_ctrl = value;
        return Emulation::done;
    case msr::PRED_CMD:
        return offers_speculation_control(domain) && (value & ~1ULL) == 0 ? Emulation::done : Emulation::refused;
    default:
        return Emulation::refused;
    }
}

} // namespace parapet::nucleus
