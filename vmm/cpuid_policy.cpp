// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpuid_policy.hpp"

#include <algorithm>
#include <cpuid.h>

namespace parapet::vmm {

namespace {

constexpr std::uint32_t bit(unsigned n) {
    return 1U << n;
}

template <typename... Bits>
constexpr std::uint32_t bits(Bits... n) {
    return (bit(static_cast<unsigned>(n)) | ...);
}

// What a PV guest cannot use: privileged or virtualised features, by register (Intel SDM vol. 2, AMD APM vol. 3).
constexpr std::uint32_t hide_1_ecx =
    bits(2, 3, 5, 6, 7, 8, 11, 14, 15, 17, 18, 21, 24, 27); // DTES64 MONITOR VMX SMX
                                                            // EIST TM2 SDBG xTPR PDCM PCID DCA x2APIC TSCDL OSXSAVE
constexpr std::uint32_t hide_1_edx =
    bits(1, 3, 7, 12, 13, 14, 17, 18, 21, 22, 28, 29, 31); // VME PSE MCE MTRR PGE MCA
                                                           // PSE36 PSN DS ACPI HTT TM PBE
constexpr std::uint32_t sep_1_edx = bit(11);
constexpr std::uint32_t hypervisor_1_ecx = bit(31);
constexpr std::uint32_t hide_7_ebx =
    bits(1, 2, 4, 7, 10, 11, 12, 14, 15, 20, 22, 25); // TSC_ADJUST SGX HLE
                                                      // SMEP INVPCID RTM RDT-M MPX RDT-A SMAP PCOMMIT PT
constexpr std::uint32_t fsgsbase_7_ebx = bit(0);
constexpr std::uint32_t hide_7_ecx = bits(2, 3, 4, 5, 7, 13, 16, 22, 24, 25, 27, 28, 29,
                                          30); // UMIP PKU OSPKE WAITPKG
                                               // CET_SS TME LA57 RDPID BUSLOCK CLDEMOTE MOVDIRI MOVDIR64B ENQCMD SGX_LC
constexpr std::uint32_t keep_7_edx = bits(2, 3, 4, 8, 10, 14, 23); // AVX512_4VNNIW, 4FMAPS, FSRM, VP2INTERSECT,
                                                                   // MD_CLEAR, SERIALIZE, AVX512_FP16
constexpr std::uint32_t xsavec_d1_eax = bit(1);
constexpr std::uint32_t keep_d1_eax = bits(0, 1, 2); // XSAVEOPT XSAVEC XGETBV1: all without privilege
constexpr std::uint32_t hide_81_ecx =
    bits(1, 2, 3, 9, 10, 12, 13, 15, 17, 19, 22, 23, 24, 26, 27, 28,
         29); // CMP_LEGACY
              // SVM EXTAPIC OSVW IBS SKINIT WDT LWP TCE NODEID TOPOEXT PERFCTR.. MWAITX
constexpr std::uint32_t hide_81_edx =
    bits(1, 3, 7, 12, 13, 14, 17, 26, 27);        // VME PSE MCE MTRR PGE MCA PSE36 1GB RDTSCP
constexpr std::uint32_t keep_88_ebx = bits(0, 2); // CLZERO, XSAVEERPTR

struct Leaf {
    std::uint32_t number, sub;
    bool has_sub;
    std::uint32_t a, b, c, d;
};

std::vector<Leaf> from_processor() {
    std::vector<Leaf> leaves;
    const auto add = [&leaves](std::uint32_t number, std::uint32_t sub, bool has_sub) {
        Leaf leaf{number, sub, has_sub, 0, 0, 0, 0};
        __cpuid_count(number, sub, leaf.a, leaf.b, leaf.c, leaf.d);
        leaves.push_back(leaf);
    };
    const std::uint32_t top = std::min<std::uint32_t>(__get_cpuid_max(0, nullptr), 0x1f);
    for (std::uint32_t number = 0; number <= top; number++) {
        const bool has_sub = number == 4 || number == 7 || number == 0xd;
        const std::uint32_t subs = number == 0xd ? 19 : has_sub ? 4 : 1;
        for (std::uint32_t sub = 0; sub < subs; sub++) {
            add(number, sub, has_sub);
        }
    }
    const std::uint32_t extended = __get_cpuid_max(0x80000000U, nullptr);
    for (std::uint32_t number = 0x80000000U; number <= std::min(extended, 0x80000008U); number++) {
        add(number, 0, false);
    }
    return leaves;
}

std::vector<Leaf> from_kvm(const CpuidTable& table) {
    std::vector<Leaf> leaves;
    for (const kvm_cpuid_entry2& entry : table) {
        leaves.push_back({entry.function, entry.index, (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0, entry.eax,
                          entry.ebx, entry.ecx, entry.edx});
    }
    return leaves;
}

/// Bytes of the standard-format XSAVE area for the components of `xcr0`.
std::uint32_t xsave_size(const std::vector<Leaf>& leaves, std::uint64_t xcr0) {
    std::uint32_t size = 576;
    for (const Leaf& leaf : leaves) {
        if (leaf.number == 0xd && leaf.sub >= 2 && leaf.sub < 63 && (xcr0 >> leaf.sub & 1) != 0) {
            size = std::max(size, leaf.a + leaf.b);
        }
    }
    return size;
}

/// Bytes of the compacted format (SDM vol. 1, 13.4.3): one component after the other, those that ask for it at
/// multiples of 64.
std::uint32_t compacted_size(const std::vector<Leaf>& leaves, std::uint64_t xcr0) {
    std::uint32_t size = 576;
    for (std::uint32_t component = 2; component < 63; component++) {
        for (const Leaf& leaf : leaves) {
            if (leaf.number == 0xd && leaf.sub == component && (xcr0 >> component & 1) != 0) {
                size = ((leaf.c & 2) != 0 ? (size + 63) & ~63U : size) + leaf.a;
            }
        }
    }
    return size;
}

/// Sizes of the XSAVE area.
struct XsaveSizes {
    std::uint32_t standard, compacted;
};

/// The guest's version of a leaf. False: the guest has no such leaf.
bool restrict_leaf(Leaf& leaf, const Substrate& substrate, const XsaveSizes& sizes) {
    const bool xsave = substrate.xcr0 != 0;
    switch (leaf.number) {
    case 0:
        leaf.a = std::min(leaf.a, xsave ? 0xdU : 7U);
        return true;
    case 1:
        leaf.b = (leaf.b & 0xffff) | 1U << 16; // one logical processor, APIC id 0
        leaf.c = (leaf.c & ~hide_1_ecx) | hypervisor_1_ecx;
        leaf.d &= ~(hide_1_edx | sep_1_edx);
        if (!xsave) {
            leaf.c &= ~bits(12, 26, 28, 29); // FMA XSAVE AVX F16C
        }
        return true;
    case 2:
        return true;
    case 4:
        leaf.a &= 0x3fff; // one core, one thread
        return true;
    case 7:
        if (leaf.sub == 0) {
            leaf.a = std::min(leaf.a, 1U);
            leaf.b &= ~hide_7_ebx;
            if (substrate.ring3_native) {
                leaf.b &= ~fsgsbase_7_ebx; // CR4 is the host's there
            }
            leaf.c &= ~hide_7_ecx;
            leaf.d &= keep_7_edx;
            if (!xsave) {
                leaf.b &= ~(bits(5, 16, 17, 21, 26, 27, 28, 30, 31));
                leaf.c = 0;
            } else if ((substrate.xcr0 & 0xe0) != 0xe0) {
                leaf.b &= ~(bits(16, 17, 21, 26, 27, 28, 30, 31));
                leaf.c &= ~bits(1, 6, 11, 12, 14);
                leaf.d &= ~bits(2, 3, 8, 23);
            }
            return true;
        }
        if (leaf.sub == 1 && xsave) {
            leaf.a &= bits(4, 5); // AVX_VNNI AVX512_BF16
            leaf.b = leaf.c = leaf.d = 0;
            return true;
        }
        return false;
    case 0xd:
        if (!xsave) {
            return false;
        }
        if (leaf.sub == 0) {
            leaf.a = static_cast<std::uint32_t>(substrate.xcr0);
            leaf.d = static_cast<std::uint32_t>(substrate.xcr0 >> 32);
            leaf.b = leaf.c = sizes.standard;
            return true;
        }
        if (leaf.sub == 1) {
            leaf.a &= keep_d1_eax;
            leaf.b = (leaf.a & xsavec_d1_eax) != 0 ? sizes.compacted : 0;
            leaf.c = leaf.d = 0;
            return true;
        }
        return leaf.sub < 63 && (substrate.xcr0 >> leaf.sub & 1) != 0;
    case 0x80000000U:
        leaf.a = std::min(leaf.a, 0x80000008U);
        return true;
    case 0x80000001U:
        leaf.c &= ~hide_81_ecx;
        leaf.d &= ~hide_81_edx;
        if (!xsave) {
            leaf.c &= ~bits(11, 16); // XOP FMA4
        }
        return true;
    case 0x80000002U:
    case 0x80000003U:
    case 0x80000004U:
    case 0x80000005U:
    case 0x80000006U:
        return true;
    case 0x80000007U:
        leaf.a = leaf.b = leaf.c = 0;
        leaf.d &= bit(8); // invariant TSC
        return true;
    case 0x80000008U:
        leaf.b &= keep_88_ebx;
        leaf.c = leaf.d = 0;
        return true;
    default:
        return false;
    }
}

/// Additions that KVM must see to let the nucleus use its APIC, and SMEP where KVM `supported` it. Programs see them
/// too, and cannot do anything with them.
void allow_nucleus(kvm_cpuid_entry2& entry, const CpuidTable& supported) {
    if (entry.function == 1) {
        entry.ecx |= bits(21, 24); // x2APIC, TSC deadline
        entry.edx |= bit(9);       // APIC
    } else if (entry.function == 7 && entry.index == 0) {
        for (const kvm_cpuid_entry2& offer : supported) {
            entry.ebx |= offer.function == 7 && offer.index == 0 ? offer.ebx & bit(7) : 0;
        }
    }
}

} // namespace

CpuidPolicy make_cpuid_policy(const Substrate& substrate, const CpuidTable& supported) {
    std::vector<Leaf> leaves = substrate.ring3_native ? from_processor() : from_kvm(supported);
    const XsaveSizes sizes{xsave_size(leaves, substrate.xcr0), compacted_size(leaves, substrate.xcr0)};
    CpuidPolicy policy;
    for (Leaf& leaf : leaves) {
        if (!restrict_leaf(leaf, substrate, sizes) || policy.guest.size() == doorbell::MAX_CPUID_LEAVES) {
            continue;
        }
        policy.guest.push_back({leaf.number, leaf.sub, leaf.has_sub ? 1U : 0U, leaf.a, leaf.b, leaf.c, leaf.d, 0});
        kvm_cpuid_entry2 entry{};
        entry.function = leaf.number;
        entry.index = leaf.sub;
        entry.flags = leaf.has_sub ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
        entry.eax = leaf.a;
        entry.ebx = leaf.b;
        entry.ecx = leaf.c;
        entry.edx = leaf.d;
        policy.machine.push_back(entry);
    }
    if (substrate.ring3_native) {
        policy.machine = supported; // applications never ask KVM there: it is told what it itself offers
    }
    for (kvm_cpuid_entry2& entry : policy.machine) {
        allow_nucleus(entry, supported);
    }
    return policy;
}

} // namespace parapet::vmm
