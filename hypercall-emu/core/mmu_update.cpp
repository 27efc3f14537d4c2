// SPDX-License-Identifier: Apache-2.0
// mmu_update and update_va_mapping: validated page-table updates, one or a batch (Xen public headers: xen.h).
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/tlb.hpp"
#include "pv-abi/mmu.hpp"

namespace parapet::nucleus {

namespace {

/// Bit of `count` that says: this call continues an earlier one, whose progress is in *pdone already.
constexpr u64 CONTINUED = 1ULL << 31;

/// A page that is no table: the guest may change it in place by machine address.
Status write_plain_frame(Vcpu& vcpu, Mfn mfn, u64 offset, u64 value) {
    const Status status = acquire_type(vcpu, mfn, FrameType::writable);
    if (status != 0) {
        return status;
    }
    Machine& machine = *vcpu.domain->machine;
    machine.write_pte(machine.table(mfn) + offset / sizeof(Pte), Pte{value});
    release_type(vcpu, mfn, FrameType::writable);
    return 0;
}

Status update_by_address(Vcpu& vcpu, u64 address, u64 value, bool preserve_ad) {
    Domain& domain = *vcpu.domain;
    const Mfn mfn{address >> PAGE_SHIFT};
    const u64 offset = address & (PAGE_SIZE - 1);
    if (!domain.frames.domain_owns(mfn)) {
        return -abi::XEN_EINVAL;
    }
    const Frame frame = domain.frames[mfn];
    if (frame.type_count() != 0 && frame.is(Frame::VALIDATED)) {
        return update_entry(vcpu, mfn, static_cast<unsigned>(offset / sizeof(Pte)), Pte{value}, preserve_ad);
    }
    return write_plain_frame(vcpu, mfn, offset, value);
}

Status update_machine_to_physical(Domain& domain, u64 address, u64 pfn) {
    const Mfn mfn{address >> PAGE_SHIFT};
    if (!domain.frames.domain_owns(mfn)) {
        return -abi::XEN_EINVAL;
    }
    domain.m2p[mfn.number] = pfn;
    return 0;
}

Status apply_update(Vcpu& vcpu, const abi::mmu_update& request) {
    constexpr u64 COMMAND = 7; // entries are eight bytes apart
    const u64 address = request.ptr & ~COMMAND;
    switch (request.ptr & COMMAND) {
    case abi::MMU_NORMAL_PT_UPDATE:
        return update_by_address(vcpu, address, request.val, false);
    case abi::MMU_PT_UPDATE_PRESERVE_AD:
        return update_by_address(vcpu, address, request.val, true);
    case abi::MMU_PT_UPDATE_NO_TRANSLATE:
        return update_by_address(vcpu, address, request.val, false);
    case abi::MMU_MACHPHYS_UPDATE:
        return update_machine_to_physical(*vcpu.domain, address, request.val);
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace

/// mmu_update(reqs, count, pdone, foreigndom). Stops at the first error; *pdone counts the requests that were done.
Status do_mmu_update(Vcpu& vcpu, const HypercallArgs& args) {
    const GuestVa requests{args.a[0]};
    const bool continued = (args.a[1] & CONTINUED) != 0;
    const u64 count = static_cast<u32>(args.a[1]) & ~CONTINUED;
    const GuestVa pdone{args.a[2]};
    const u64 table_domain = (args.a[3] >> 16) & 0xffff; // one more than the domid, 0: the caller
    const u64 frame_domain = args.a[3] & 0xffff;
    const bool tables_of_domain0 = table_domain == 1;
    const bool own_tables = table_domain == 0 || table_domain - 1 == vcpu.domain->domid;
    const Status owner = refuse_owner(frame_domain);
    if (owner == -abi::XEN_ESRCH || !(own_tables || tables_of_domain0)) {
        return -abi::XEN_ESRCH;
    }
    if (count != 0 && (owner != 0 || tables_of_domain0)) {
        return -abi::XEN_EPERM;
    }
    u32 done_before = 0;
    if (continued && pdone.address != 0) {
        (void)get(vcpu, done_before, pdone);
    }

    constexpr u64 CHUNK = 16; // requests copied in one go
    abi::mmu_update chunk[CHUNK];
    Status status = 0;
    u64 done = 0;
    while (done < count && status == 0) {
        if (done != 0 && preemption_due(vcpu)) {
            break;
        }
        u64 length = min_of(CHUNK, count - done);
        const GuestVa from = requests + done * sizeof(abi::mmu_update);
        if (!copy_from_guest(vcpu, chunk, from, length * sizeof(chunk[0]))) {
            length = 1; // those before the hole count
            if (!copy_from_guest(vcpu, chunk, from, sizeof(chunk[0]))) {
                status = -abi::XEN_EFAULT;
                break;
            }
        }
        for (u64 i = 0; i < length; i++) {
            status = apply_update(vcpu, chunk[i]);
            if (status != 0) {
                break;
            }
            done++;
        }
    }
    if (pdone.address != 0) {
        const u32 total = done_before + static_cast<u32>(done);
        (void)put(vcpu, pdone, total); // a courtesy: a bad pointer undoes nothing
    }
    if (status == 0 && done < count) {
        return continue_hypercall(vcpu, {(requests + done * sizeof(abi::mmu_update)).address,
                                         (count - done) | CONTINUED, pdone.address, args.a[3]});
    }
    return status;
}

/// update_va_mapping(va, new entry, flags): one last-level entry, found by its address in the current address space.
Status do_update_va_mapping(Vcpu& vcpu, const HypercallArgs& args) {
    const GuestVa va{args.a[0]};
    const L1Slot found = find_l1_slot(*vcpu.domain, vcpu.kernel_root, va);
    if (found.slot == nullptr) {
        return -abi::XEN_EINVAL;
    }
    const Status status = update_entry(vcpu, found.table, table_index(va.address, 1), Pte{args.a[1]}, false);
    if (status != 0) {
        return status;
    }
    return flush_after_update(vcpu, va, args.a[2]);
}

/// As above for another domain: only the initial domain may; for itself it is the plain call.
Status do_update_va_mapping_otherdomain(Vcpu& vcpu, const HypercallArgs& args) {
    const Status refused = refuse_owner(args.a[3] & 0xffff);
    return refused != 0 ? refused : do_update_va_mapping(vcpu, args);
}

} // namespace parapet::nucleus
