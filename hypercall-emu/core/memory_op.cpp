// SPDX-License-Identifier: Apache-2.0
// memory_op of an unprivileged domain: queries here, changes in reservation.cpp and memory_exchange.cpp.
#include "hypercall-emu/core/memory_op.hpp"

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/refusals.hpp"
#include "pv-abi/memory.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 LARGE_PAGE = 2ULL << 20;

// Arguments that Xen's headers show to toolstacks only.
struct xen_mem_access_op {
    u8 op, access;
    u16 domid;
    u32 nr;
    u64 pfn, pfn_list, access_list;
};
struct xen_reserved_device_memory_map {
    static constexpr u32 XENMEM_RDM_ALL = 1;
    u32 flags, nr_entries;
    u64 buffer;
    abi::physdev_pci_device device;
};
static_assert(sizeof(xen_mem_access_op) == 32 && sizeof(xen_reserved_device_memory_map) == 24);

Status reservation_size(Vcpu& vcpu, unsigned command, GuestVa arg) {
    const Domain& domain = *vcpu.domain;
    abi::xen_memory_domain op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (!domain.is_self(op.domid))
        return other_domain(op.domid);
    switch (command) {
    case abi::XENMEM_current_reservation:
        return static_cast<Status>(domain.nr_pages);
    case abi::XENMEM_maximum_reservation:
        return static_cast<Status>(domain.max_pages);
    default: // maximum_gpfn
        return static_cast<Status>(domain.shared->arch.max_pfn != 0 ? domain.shared->arch.max_pfn - 1 : 0);
    }
}

/// The part of the machine-to-physical table that there is, so that a guest never looks beyond it.
Status machphys_mapping(Vcpu& vcpu, GuestVa arg) {
    const Domain& domain = *vcpu.domain;
    const u64 bytes = domain.frames.count() * sizeof(u64);
    const u64 start = domain.boot->m2p_va;
    const abi::xen_machphys_mapping64 mapping{start, start + ((bytes + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1)),
                                              domain.frames.count() - 1};
    return put(vcpu, arg, mapping) ? 0 : -abi::XEN_EFAULT;
}

/// First frame of the 2 MiB of the machine-to-physical table at `va`; follows the hole's own tables.
Mfn machphys_frame(const Domain& domain, u64 va) {
    const unsigned slot = table_index(va, 4) - static_cast<unsigned>(doorbell::HOLE_FIRST_SLOT);
    if (slot >= sizeof(domain.hole_template) / sizeof(domain.hole_template[0]))
        return NO_MFN;
    Pte entry{domain.hole_template[slot]};
    for (unsigned level = 3; level >= 1; level--) {
        if (!entry.present() || !domain.frames.contains(entry.mfn()))
            return NO_MFN;
        entry = domain.machine->table(entry.mfn())[table_index(va, level)];
        if (level == 2 && entry.present() && (entry.raw & Pte::PSE) != 0)
            break;
    }
    return entry.present() ? entry.mfn() : NO_MFN;
}

Status machphys_mfn_list(Vcpu& vcpu, GuestVa arg) {
    const Domain& domain = *vcpu.domain;
    abi::xen_machphys_mfn_list64 op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    const u64 extents = (domain.frames.count() * sizeof(u64) + LARGE_PAGE - 1) / LARGE_PAGE;
    const auto count = static_cast<u32>(min_of<u64>(op.max_extents, extents));
    Mfn last = NO_MFN;
    for (u32 i = 0; i < count; i++) {
        const Mfn found = machphys_frame(domain, domain.boot->m2p_va + i * LARGE_PAGE);
        if (found != NO_MFN)
            last = found; // a hole repeats what came before it, as in Xen
        if (!put(vcpu, GuestVa{op.extent_start} + i * sizeof(u64), last.number))
            return -abi::XEN_EFAULT;
    }
    return put(vcpu, arg + offsetof(abi::xen_machphys_mfn_list64, nr_extents), count) ? 0 : -abi::XEN_EFAULT;
}

/// No virtual NUMA topology was set.
Status virtual_numa(Vcpu& vcpu, GuestVa arg) {
    abi::xen_vnuma_topology_info64 op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.pad != 0)
        return -abi::XEN_EINVAL;
    return vcpu.domain->is_self(op.domid) ? -abi::XEN_EOPNOTSUPP : other_domain(op.domid);
}

/// Resources are those of other domains: of one's own, or domain 0's, none may be had.
Status acquire_resource(Vcpu& vcpu, GuestVa arg) {
    abi::xen_mem_acquire_resource64 op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.pad != 0)
        return -abi::XEN_EINVAL;
    return op.domid == 0 || op.domid == vcpu.domain->domid ? -abi::XEN_EPERM : -abi::XEN_ESRCH;
}

/// Memory that devices have reserved for themselves: none.
Status reserved_device_memory(Vcpu& vcpu, GuestVa arg) {
    xen_reserved_device_memory_map op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if ((op.flags & ~op.XENMEM_RDM_ALL) != 0)
        return -abi::XEN_EINVAL;
    op.nr_entries = 0;
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

/// For those that have a translated guest in hand.
Status memory_access(Vcpu& vcpu, GuestVa arg) {
    xen_mem_access_op op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.domid == vcpu.domain->domid)
        return -abi::XEN_EPERM;
    return op.domid == 0 ? -abi::XEN_EINVAL : -abi::XEN_ESRCH;
}

} // namespace

Status do_memory_op(Vcpu& vcpu, const HypercallArgs& args) {
    const auto command = static_cast<unsigned>(args.a[0] & abi::MEMOP_CMD_MASK);
    const GuestVa arg{args.a[1]};
    switch (command) {
    case abi::XENMEM_increase_reservation:
    case abi::XENMEM_decrease_reservation:
    case abi::XENMEM_populate_physmap:
        return change_reservation(vcpu, args);
    case abi::XENMEM_exchange:
        return exchange_memory(vcpu, args);
    case abi::XENMEM_maximum_ram_page:
        return static_cast<Status>(vcpu.domain->frames.count());
    case abi::XENMEM_current_reservation:
    case abi::XENMEM_maximum_reservation:
    case abi::XENMEM_maximum_gpfn:
        return reservation_size(vcpu, command, arg);
    case abi::XENMEM_machphys_mapping:
        return machphys_mapping(vcpu, arg);
    case abi::XENMEM_machphys_mfn_list:
        return machphys_mfn_list(vcpu, arg);
    case abi::XENMEM_machphys_compat_mfn_list: // of 32-bit guests
        return -abi::XEN_EOPNOTSUPP;
    case abi::XENMEM_add_to_physmap: // physical maps are for translated guests, and no domain that there is has one
        return refuse_for_domain<abi::xen_add_to_physmap64>(vcpu, arg, -abi::XEN_EACCES);
    case abi::XENMEM_add_to_physmap_batch:
        return refuse_for_domain<abi::xen_add_to_physmap_batch64>(vcpu, arg, -abi::XEN_EACCES);
    case abi::XENMEM_remove_from_physmap:
        return refuse_for_domain<abi::xen_remove_from_physmap64>(vcpu, arg, -abi::XEN_EACCES);
    case abi::XENMEM_set_pod_target:
    case abi::XENMEM_get_pod_target:
        return refuse_for_domain<abi::xen_pod_target64>(vcpu, arg, -abi::XEN_EINVAL);
    case abi::XENMEM_access_op:
        return memory_access(vcpu, arg);
    case abi::XENMEM_get_vnumainfo:
        return virtual_numa(vcpu, arg);
    case abi::XENMEM_acquire_resource:
        return acquire_resource(vcpu, arg);
    case abi::XENMEM_reserved_device_memory_map:
        return reserved_device_memory(vcpu, arg);
    case abi::XENMEM_get_sharing_freed_pages:
    case abi::XENMEM_get_sharing_shared_pages:
        return 0;
    case abi::XENMEM_machine_memory_map:
        return -abi::XEN_EPERM;
    case abi::XENMEM_set_memory_map:
        return refuse<abi::xen_foreign_memory_map64>(vcpu, arg);
    case abi::XENMEM_claim_pages:
        return refuse<abi::xen_memory_reservation64>(vcpu, arg);
    case abi::XENMEM_paging_op: // neither paging nor sharing is built in
    case abi::XENMEM_sharing_op:
    case abi::XENMEM_memory_map: // none was set: the guest makes its own from its reservation
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace parapet::nucleus
