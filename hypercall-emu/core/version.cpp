// SPDX-License-Identifier: Apache-2.0
// xen_version: which interface we offer. Numbers as Xen 4.17, whose behaviour the other hypercalls follow.
#include "pv-abi/version.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "pv-abi/arch.hpp"

namespace parapet::nucleus {
namespace {

constexpr Status MAJOR = 4, MINOR = 17;
constexpr abi::xen_extraversion_t EXTRA_VERSION = "-parapet";
constexpr abi::xen_capabilities_info_t CAPABILITIES = "xen-3.0-x86_64 ";
constexpr abi::xen_changeset_info_t CHANGESET = "unavailable";
constexpr abi::xen_compile_info COMPILE_INFO = {"g++ (C++20)", "parapet", "parapet", "2026"};
constexpr char DENIED[] = "<denied>";

constexpr u32 FEATURES = 1U << abi::XENFEAT_pae_pgdir_above_4gb | 1U << abi::XENFEAT_mmu_pt_update_preserve_ad |
                         1U << abi::XENFEAT_highmem_assist | 1U << abi::XENFEAT_gnttab_map_avail_bits |
                         1U << abi::XENFEAT_memory_op_vnode_supported | 1U << abi::XENFEAT_not_direct_mapped;

Status features(Vcpu& vcpu, GuestVa arg) {
    abi::xen_feature_info info;
    if (!get(vcpu, info, arg))
        return -abi::XEN_EFAULT;
    if (info.submap_idx >= abi::XENFEAT_NR_SUBMAPS)
        return -abi::XEN_EINVAL;
    info.submap = FEATURES;
    return put(vcpu, arg, info) ? 0 : -abi::XEN_EFAULT;
}

template <typename T>
Status answer(Vcpu& vcpu, GuestVa arg, const T& object) {
    return put(vcpu, arg, object) ? 0 : -abi::XEN_EFAULT;
}

} // namespace

Status do_xen_version(Vcpu& vcpu, const HypercallArgs& args) {
    const GuestVa arg{args.a[1]};
    switch (static_cast<u32>(args.a[0])) {
    case abi::XENVER_version:
        return MAJOR << 16 | MINOR;
    case abi::XENVER_extraversion:
        return answer(vcpu, arg, EXTRA_VERSION);
    case abi::XENVER_compile_info:
        return answer(vcpu, arg, COMPILE_INFO);
    case abi::XENVER_capabilities:
        return answer(vcpu, arg, CAPABILITIES);
    case abi::XENVER_changeset:
        return answer(vcpu, arg, CHANGESET);
    case abi::XENVER_platform_parameters:
        return answer(vcpu, arg, abi::xen_platform_parameters64{.virt_start = abi::x64::HYPERVISOR_VIRT_START});
    case abi::XENVER_get_features:
        return features(vcpu, arg);
    case abi::XENVER_pagesize:
        return arg.address == 0 ? static_cast<Status>(PAGE_SIZE) : -abi::XEN_EINVAL;
    case abi::XENVER_guest_handle:
        return answer(vcpu, arg, vcpu.domain->boot->uuid);
    case abi::XENVER_commandline: // of the hypervisor: not for guests
        return answer(vcpu, arg, DENIED);
    case abi::XENVER_build_id:
        return -abi::XEN_EPERM;
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace parapet::nucleus
