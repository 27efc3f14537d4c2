// SPDX-License-Identifier: Apache-2.0
// mmuext_op: pins, roots, flushes, LDT, page clear and copy (Xen public headers: xen.h).
#include "hypercall-emu/core/descriptor.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/tlb.hpp"
#include "pv-abi/mmu.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 CONTINUED = 1ULL << 31;

Status flush_multi(Vcpu& vcpu, const abi::mmuext_op64& op) {
    u64 mask = 0;
    if (!get(vcpu, mask, GuestVa{op.arg2.vcpumask})) {
        return -abi::XEN_EINVAL;
    }
    flush_vcpus(*vcpu.domain, mask);
    return 0;
}

Status clear_page(Vcpu& vcpu, Mfn mfn) {
    const Status status = acquire_type(vcpu, mfn, FrameType::writable);
    if (status == 0) {
        fill_bytes(vcpu.domain->machine->frame(mfn), 0, PAGE_SIZE);
        release_type(vcpu, mfn, FrameType::writable);
    }
    return status;
}

Status copy_page(Vcpu& vcpu, Mfn to, Mfn from) {
    Domain& domain = *vcpu.domain;
    if (!acquire_frame(domain, from)) {
        return -abi::XEN_EINVAL;
    }
    const Status status = acquire_type(vcpu, to, FrameType::writable);
    if (status == 0) {
        copy_bytes(domain.machine->frame(to), domain.machine->frame(from), PAGE_SIZE);
        release_type(vcpu, to, FrameType::writable);
    }
    release_frame(domain, from);
    return status;
}

Status new_user_root(Vcpu& vcpu, Mfn mfn) {
    if (mfn == NO_MFN) {
        return -abi::XEN_EINVAL; // what we call none is to the guest a frame that is not there
    }
    return set_user_root(vcpu, mfn.number == 0 ? NO_MFN : mfn);
}

Status apply(Vcpu& vcpu, const abi::mmuext_op64& op) {
    const Mfn mfn{op.arg1.mfn};
    switch (op.cmd) {
    case abi::MMUEXT_PIN_L1_TABLE:
    case abi::MMUEXT_PIN_L2_TABLE:
    case abi::MMUEXT_PIN_L3_TABLE:
    case abi::MMUEXT_PIN_L4_TABLE:
        return pin_table(vcpu, mfn, table_type(op.cmd - abi::MMUEXT_PIN_L1_TABLE + 1));
    case abi::MMUEXT_UNPIN_TABLE:
        return unpin_table(vcpu, mfn);
    case abi::MMUEXT_NEW_BASEPTR:
        return set_kernel_root(vcpu, mfn);
    case abi::MMUEXT_NEW_USER_BASEPTR:
        return new_user_root(vcpu, mfn);
    case abi::MMUEXT_TLB_FLUSH_LOCAL:
        flush_local(vcpu);
        return 0;
    case abi::MMUEXT_INVLPG_LOCAL:
        flush_local_page(vcpu, GuestVa{op.arg1.linear_addr});
        return 0;
    case abi::MMUEXT_TLB_FLUSH_MULTI:
    case abi::MMUEXT_INVLPG_MULTI:
        return flush_multi(vcpu, op);
    case abi::MMUEXT_TLB_FLUSH_ALL:
    case abi::MMUEXT_INVLPG_ALL:
        flush_vcpus(*vcpu.domain, ALL_VCPUS);
        return 0;
    case abi::MMUEXT_FLUSH_CACHE: // a domain without devices has no use for these two
        return -abi::XEN_EACCES;
    case abi::MMUEXT_FLUSH_CACHE_GLOBAL:
        return -abi::XEN_EINVAL;
    case abi::MMUEXT_SET_LDT:
        return set_ldt(vcpu, GuestVa{op.arg1.linear_addr}, op.arg2.nr_ents);
    case abi::MMUEXT_CLEAR_PAGE:
        return clear_page(vcpu, mfn);
    case abi::MMUEXT_COPY_PAGE:
        return copy_page(vcpu, mfn, Mfn{op.arg2.src_mfn});
    case abi::MMUEXT_MARK_SUPER:
    case abi::MMUEXT_UNMARK_SUPER:
        return -abi::XEN_EOPNOTSUPP;
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace

/// mmuext_op(ops, count, pdone, foreigndom). Stops at the first error; *pdone counts the operations that were done.
Status do_mmuext_op(Vcpu& vcpu, const HypercallArgs& args) {
    const GuestVa ops{args.a[0]};
    const bool continued = (args.a[1] & CONTINUED) != 0;
    const u64 count = static_cast<u32>(args.a[1]) & ~CONTINUED;
    const GuestVa pdone{args.a[2]};
    const u64 foreign = args.a[3] & 0xffff;
    if (const Status refused = refuse_owner(foreign); refused != 0) {
        return refused;
    }
    u32 done_before = 0;
    if (continued && pdone.address != 0) {
        (void)get(vcpu, done_before, pdone);
    }
    Status status = 0;
    u64 done = 0;
    for (; done < count; done++) {
        if (done != 0 && preemption_due(vcpu)) {
            break;
        }
        abi::mmuext_op64 op;
        if (!get(vcpu, op, ops + done * sizeof(op))) {
            status = -abi::XEN_EFAULT;
            break;
        }
        status = apply(vcpu, op);
        if (status != 0) {
            break;
        }
    }
    if (pdone.address != 0) {
        const u32 total = done_before + static_cast<u32>(done);
        (void)put(vcpu, pdone, total); // a courtesy: a bad pointer undoes nothing
    }
    if (status == 0 && done < count) {
        return continue_hypercall(vcpu, {(ops + done * sizeof(abi::mmuext_op64)).address, (count - done) | CONTINUED,
                                         pdone.address, args.a[3]});
    }
    return status;
}

} // namespace parapet::nucleus
