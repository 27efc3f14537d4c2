// SPDX-License-Identifier: Apache-2.0
// GNTTABOP_transfer: a frame leaves the domain, and whoever accepts it gets it. Only the domain itself can (by an entry
// GTF_accept_transfer for its own number); from any other taker the frame is lost, as it is in Xen.
#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/grant_table.hpp"

namespace parapet::nucleus {

namespace {

u32* header_of(const Domain& domain, u32 ref) {
    return domain.grants.version == 2 ? reinterpret_cast<u32*>(&entry_v2(domain, ref))
                                      : reinterpret_cast<u32*>(&entry_v1(domain, ref));
}

/// Sets GTF_transfer_committed if the entry accepts a frame.
bool commit(const Domain& domain, u32 ref) {
    if (ref >= grant_entries(domain.grants))
        return false;
    u32* header = header_of(domain, ref);
    u32 seen = __atomic_load_n(header, __ATOMIC_ACQUIRE);
    for (unsigned attempt = 0; attempt < 5; attempt++) {
        if (seen != (abi::GTF_accept_transfer | domain.domid << 16))
            return false;
        if (__atomic_compare_exchange_n(header, &seen, seen | abi::GTF_transfer_committed, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

/// The entry says which pseudo-physical frame it is to be, and then, which machine frame it is.
void complete(Domain& domain, u32 ref, Mfn mfn) {
    if (domain.grants.version == 2) {
        u64& frame = entry_v2(domain, ref).full_page.frame;
        domain.m2p[mfn.number] = __atomic_exchange_n(&frame, mfn.number, __ATOMIC_SEQ_CST);
    } else {
        u32& frame = entry_v1(domain, ref).frame;
        domain.m2p[mfn.number] = __atomic_exchange_n(&frame, static_cast<u32>(mfn.number), __ATOMIC_SEQ_CST);
    }
    __atomic_fetch_or(header_of(domain, ref), abi::GTF_transfer_completed, __ATOMIC_SEQ_CST);
}

} // namespace

void transfer_frame(Vcpu& vcpu, abi::gnttab_transfer64& op) {
    Domain& domain = *vcpu.domain;
    const Mfn mfn{op.mfn};
    if (!put_free_frame(domain, mfn)) {
        op.status = abi::GNTST_bad_page;
        return;
    }
    owns(domain, domain.nr_pages - 1);
    domain.m2p[mfn.number] = INVALID_M2P;
    if (op.domid == domain.domid && commit(domain, op.ref) &&
        take_free_frames(domain, 0, domain.frames.count()) == mfn) { // the head of the list
        owns(domain, domain.nr_pages + 1);
        complete(domain, op.ref, mfn);
        op.status = abi::GNTST_okay;
        return;
    }
    release_held_frames(domain);
    op.status = op.domid == domain.domid || op.domid == 0 ? abi::GNTST_general_error : abi::GNTST_bad_domain;
}

} // namespace parapet::nucleus
