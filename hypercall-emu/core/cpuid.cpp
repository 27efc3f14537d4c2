// SPDX-License-Identifier: Apache-2.0
// CPUID: the vmm's policy, Xen's own leaves, and the bits that follow the vCPU's state.
#include "pv-abi/cpuid.hpp"

#include "hypercall-emu/core/emulate.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {

namespace {

constexpr u32 XEN_MAJOR = 4, XEN_MINOR = 17;
constexpr u32 XSAVE = 1u << 26, OSXSAVE = 1u << 27;

void set(u32 (&out)[4], u32 eax, u32 ebx, u32 ecx, u32 edx) {
    out[0] = eax;
    out[1] = ebx;
    out[2] = ecx;
    out[3] = edx;
}

unsigned bits_of(u64 value) {
    unsigned bits = 0;
    for (; value != 0; value >>= 1)
        bits++;
    return bits;
}

/// Leaf 3: how time stamps become time, by sub-leaf.
void time_leaf(const Domain& domain, u32 subleaf, u32 (&out)[4]) {
    constexpr u32 HOST_TSC_RELIABLE = 1u << 1;
    if (subleaf == 0)
        set(out, HOST_TSC_RELIABLE, 2 /* never emulated */, static_cast<u32>(domain.boot->tsc_khz), 0);
    else if (subleaf == 1)
        set(out, 0, 0, domain.clock.mul, static_cast<u32>(domain.clock.shift));
    else if (subleaf == 2)
        out[0] = static_cast<u32>(domain.boot->tsc_khz);
}

void xen_leaf(const Domain& domain, u32 leaf, u32 subleaf, u32 (&out)[4]) {
    switch (leaf - abi::XEN_CPUID_FIRST_LEAF) {
    case 0:
        set(out, abi::XEN_CPUID_LEAF(abi::XEN_CPUID_MAX_NUM_LEAVES), abi::XEN_CPUID_SIGNATURE_EBX,
            abi::XEN_CPUID_SIGNATURE_ECX, abi::XEN_CPUID_SIGNATURE_EDX);
        break;
    case 1:
        out[0] = (XEN_MAJOR << 16) | XEN_MINOR;
        break;
    case 2: // one hypercall page
        set(out, 1, abi::XEN_HYPERCALL_MSR, abi::XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD, 0);
        break;
    case 3:
        time_leaf(domain, subleaf, out);
        break;
    case 5: // width of machine addresses
        out[1] = bits_of(domain.boot->max_mfn - 1) + static_cast<u32>(PAGE_SHIFT);
        break;
    default: // 4 is for HVM guests
        break;
    }
}

} // namespace

void guest_cpuid(const Domain& domain, u32 leaf, u32 subleaf, u32 (&out)[4]) {
    set(out, 0, 0, 0, 0);
    if (leaf >= abi::XEN_CPUID_FIRST_LEAF && leaf <= abi::XEN_CPUID_LEAF(abi::XEN_CPUID_MAX_NUM_LEAVES)) {
        xen_leaf(domain, leaf, subleaf, out);
        return;
    }
    const doorbell::BootInfo& boot = *domain.boot;
    const u32 rows = min_of<u32>(boot.nr_cpuid, doorbell::MAX_CPUID_LEAVES);
    for (u32 i = 0; i < rows; i++) {
        const doorbell::CpuidLeaf& row = boot.cpuid[i];
        if (row.leaf == leaf && (row.has_subleaf == 0 || row.subleaf == subleaf)) {
            set(out, row.eax, row.ebx, row.ecx, row.edx);
            return;
        }
    }
}

void vcpu_cpuid(const Vcpu& vcpu, u32 leaf, u32 subleaf, bool enlightened, u32 (&out)[4]) {
    guest_cpuid(*vcpu.domain, leaf, subleaf, out);
    const u32 apic_id = vcpu.id * 2;
    if (leaf == 1) {
        out[1] = (out[1] & 0x00ffffff) | (apic_id << 24);
        // Linux takes XSAVE only if OSXSAVE shows before it has set CR4: Xen shows it to kernels that ask by the
        // prefix.
        const bool offered = (out[2] & XSAVE) != 0 && vcpu.domain->boot->xcr0 != 0;
        out[2] &= ~OSXSAVE;
        if (offered && (enlightened || (vcpu.cr4 & CR4_OSXSAVE) != 0))
            out[2] |= OSXSAVE;
    } else if (leaf == 0xb) {
        out[3] = apic_id;
    }
}

} // namespace parapet::nucleus
