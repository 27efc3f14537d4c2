// SPDX-License-Identifier: Apache-2.0
// grant_table_op: the operations on the table itself, and the arrays of the others.
#include "hypercall-emu/core/grant_table.hpp"

#include "hypercall-emu/core/memory_op.hpp"

namespace parapet::nucleus {

namespace {

/// GNTST_* for an operation on the table of `domid`.
int16_t table_owner(const Domain& domain, u16 domid) {
    if (domain.is_self(domid))
        return abi::GNTST_okay;
    return domid == 0 ? abi::GNTST_permission_denied : abi::GNTST_bad_domain;
}

/// Tell the guest `count` frame numbers.
int16_t list_frames(Vcpu& vcpu, GuestVa list, const u64* frames, u32 count) {
    for (u32 i = 0; i < count; i++) {
        if (!put(vcpu, list + i * sizeof(u64), frames[i]))
            return abi::GNTST_bad_virt_addr;
    }
    return abi::GNTST_okay;
}

Status setup_table(Vcpu& vcpu, GuestVa arg, u64 count) {
    Domain& domain = *vcpu.domain;
    abi::gnttab_setup_table64 op;
    if (count != 1)
        return -abi::XEN_EINVAL;
    if (!get(vcpu, op, arg) || !is_guest_va(op.frame_list))
        return -abi::XEN_EFAULT;
    op.status = table_owner(domain, op.dom);
    if (op.status == abi::GNTST_okay && !grow_grant_table(domain, op.nr_frames))
        op.status = abi::GNTST_general_error;
    if (op.status == abi::GNTST_okay)
        op.status = list_frames(vcpu, {op.frame_list}, domain.grants.frames, op.nr_frames);
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

Status get_status_frames(Vcpu& vcpu, GuestVa arg, u64 count) {
    Domain& domain = *vcpu.domain;
    abi::gnttab_get_status_frames64 op;
    if (count != 1)
        return -abi::XEN_EINVAL;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    op.status = table_owner(domain, op.dom);
    const u32 frames = domain.grants.version == 2 ? domain.grants.nr_status_frames : 0;
    if (op.status == abi::GNTST_okay && op.nr_frames > frames)
        op.status = abi::GNTST_general_error;
    if (op.status == abi::GNTST_okay)
        op.status = list_frames(vcpu, {op.frame_list}, domain.grants.status_frames, op.nr_frames);
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

Status query_size(Vcpu& vcpu, GuestVa arg, u64 count) {
    const Domain& domain = *vcpu.domain;
    abi::gnttab_query_size op;
    if (count != 1)
        return -abi::XEN_EINVAL;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    op.status = table_owner(domain, op.dom);
    if (op.status == abi::GNTST_okay) {
        op.nr_frames = domain.grants.nr_frames;
        op.max_nr_frames = max_grant_frames(domain.grants);
    }
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

Status set_version(Vcpu& vcpu, GuestVa arg) {
    abi::gnttab_set_version op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    const Status status = set_grant_version(*vcpu.domain, op.version);
    op.version = vcpu.domain->grants.version == 2 ? 2 : 1;
    return put(vcpu, arg, op) ? status : -abi::XEN_EFAULT;
}

Status get_version(Vcpu& vcpu, GuestVa arg) {
    abi::gnttab_get_version op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (!vcpu.domain->is_self(op.dom))
        return other_domain(op.dom);
    op.version = vcpu.domain->grants.version == 2 ? 2 : 1;
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

void swap(Vcpu& vcpu, abi::gnttab_swap_grant_ref& op) {
    Domain& domain = *vcpu.domain;
    const u32 entries = grant_entries(domain.grants);
    op.status = abi::GNTST_okay;
    if (op.ref_a >= entries || op.ref_b >= entries) {
        op.status = abi::GNTST_bad_gntref;
        return;
    }
    if (op.ref_a == op.ref_b)
        return;
    const GrantChange change{domain};
    const auto in_use = [&](u32 ref) { return grant_is_mapped(domain.grants, ref) || grant_is_marked(domain, ref); };
    if (in_use(op.ref_a) || in_use(op.ref_b))
        op.status = abi::GNTST_eagain;
    else
        swap_grants(domain, op.ref_a, op.ref_b);
}

/// The caches of this VM are coherent: only the arguments are checked.
Status flush_cache(Vcpu& vcpu, const abi::gnttab_cache_flush& op) {
    constexpr u32 known = abi::GNTTAB_CACHE_CLEAN | abi::GNTTAB_CACHE_INVAL; // a frame by reference: not in Xen either
    if (op.offset >= PAGE_SIZE || op.length > PAGE_SIZE || op.offset + op.length > PAGE_SIZE || (op.op & ~known) != 0)
        return -abi::XEN_EINVAL;
    if (op.length == 0 || op.op == 0)
        return 0;
    const Mfn frame{op.a.dev_bus_addr >> PAGE_SHIFT};
    if (!vcpu.domain->frames.contains(frame))
        return -abi::XEN_EINVAL;
    if (!vcpu.domain->frames.guest_may_map(frame))
        return -abi::XEN_EPERM;
    return op.op == abi::GNTTAB_CACHE_INVAL ? -abi::XEN_EOPNOTSUPP : 0; // x86 writes back before it invalidates
}

Status flush_caches(Vcpu& vcpu, const HypercallArgs& args) {
    const u64 count = static_cast<u32>(args.a[2]);
    for (u64 i = 0; i < count; i++) {
        if (i != 0 && preemption_due(vcpu)) {
            const u64 next = args.a[1] + i * sizeof(abi::gnttab_cache_flush);
            return continue_hypercall(vcpu, {args.a[0], next, count - i});
        }
        abi::gnttab_cache_flush op;
        if (!get(vcpu, op, GuestVa{args.a[1]} + i * sizeof(op)))
            return -abi::XEN_EFAULT;
        const Status status = flush_cache(vcpu, op);
        if (status != 0)
            return status;
    }
    return 0;
}

/// Do `one` for each element of an array and write it back; stop for pending events.
template <typename Op>
Status for_each(Vcpu& vcpu, const HypercallArgs& args, void (*one)(Vcpu&, Op&)) {
    const GuestVa array{args.a[1]};
    const u64 count = static_cast<u32>(args.a[2]);
    for (u64 i = 0; i < count; i++) {
        const GuestVa at = array + i * sizeof(Op);
        if (i != 0 && preemption_due(vcpu))
            return continue_hypercall(vcpu, {args.a[0], at.address, count - i});
        Op op;
        if (!get(vcpu, op, at))
            return -abi::XEN_EFAULT;
        one(vcpu, op);
        if (!put(vcpu, at, op))
            return -abi::XEN_EFAULT;
    }
    return 0;
}

bool is_array_operation(u32 command) {
    switch (command) {
    case abi::GNTTABOP_map_grant_ref:
    case abi::GNTTABOP_unmap_grant_ref:
    case abi::GNTTABOP_unmap_and_replace:
    case abi::GNTTABOP_transfer:
    case abi::GNTTABOP_copy:
    case abi::GNTTABOP_swap_grant_ref:
    case abi::GNTTABOP_cache_flush:
        return true;
    default:
        return false;
    }
}

} // namespace

Status do_grant_table_op(Vcpu& vcpu, const HypercallArgs& args) {
    constexpr u32 COMMAND = 0xfff; // above it, Xen keeps how far a cache_flush has come
    const GuestVa arg{args.a[1]};
    const u64 count = static_cast<u32>(args.a[2]);
    const u32 command = static_cast<u32>(args.a[0]) & COMMAND;
    const bool plain = command == static_cast<u32>(args.a[0]) || command == abi::GNTTABOP_cache_flush;
    if (static_cast<int32_t>(args.a[2]) < 0 || !plain)
        return -abi::XEN_EINVAL;
    if (is_array_operation(command) && !is_guest_va(arg.address))
        return -abi::XEN_EFAULT; // even where there is nothing to read
    switch (command) {
    case abi::GNTTABOP_map_grant_ref:
        return for_each(vcpu, args, map_grant);
    case abi::GNTTABOP_unmap_grant_ref:
        return for_each(vcpu, args, unmap_grant);
    case abi::GNTTABOP_unmap_and_replace:
        return for_each(vcpu, args, unmap_and_replace_grant);
    case abi::GNTTABOP_transfer:
        return for_each(vcpu, args, transfer_frame);
    case abi::GNTTABOP_copy:
        return for_each(vcpu, args, copy_grant);
    case abi::GNTTABOP_swap_grant_ref:
        return for_each(vcpu, args, swap);
    case abi::GNTTABOP_setup_table:
        return setup_table(vcpu, arg, count);
    case abi::GNTTABOP_query_size:
        return query_size(vcpu, arg, count);
    case abi::GNTTABOP_set_version:
        return set_version(vcpu, arg);
    case abi::GNTTABOP_get_status_frames:
        return get_status_frames(vcpu, arg, count);
    case abi::GNTTABOP_get_version:
        return get_version(vcpu, arg);
    case abi::GNTTABOP_cache_flush:
        return flush_caches(vcpu, args);
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace parapet::nucleus
