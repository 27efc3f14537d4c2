// SPDX-License-Identifier: Apache-2.0
// Acquiring and releasing frames and their types; pins. The state machine is drawn in mm.hpp.
#include "hypercall-emu/core/descriptor.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/table_validation.hpp"

namespace parapet::nucleus {

bool acquire_frame(Domain& domain, Mfn mfn) {
    if (!domain.frames.guest_may_map(mfn)) {
        return false;
    }
    Frame& frame = domain.frames[mfn];
    if (frame.references() == Frame::COUNT_MASK) {
        return false;
    }
    frame.word += Frame::REFERENCE;
    return true;
}

void release_frame(Domain& domain, Mfn mfn) {
    domain.frames[mfn].word -= Frame::REFERENCE;
}

bool host_writes(const Domain& domain, Mfn mfn) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&domain.host_use[mfn.number], __ATOMIC_RELAXED) != 0;
}

void note_stale_tlbs(Domain& domain) {
    for (u32 i = 0; i < domain.nr_vcpus; i++) {
        domain.vcpus[i]->tlb_stale = true;
    }
}

void flush_stale_tlbs(Domain& domain) {
    for (u32 i = 0; i < domain.nr_vcpus; i++) {
        Vcpu& vcpu = *domain.vcpus[i];
        if (vcpu.tlb_stale) {
            vcpu.tlb_stale = false;
            vcpu.work.flags |= ExitWork::FLUSH_TLB;
        }
    }
}

namespace {

bool is_table(FrameType type) {
    return type >= FrameType::l1 && type <= FrameType::l4;
}

/// A frame takes its first type, that of a table or descriptor page: it is checked entry by entry, now.
Status first_type(Vcpu& vcpu, Mfn mfn, FrameType type) {
    Domain& domain = *vcpu.domain;
    Frame& frame = domain.frames[mfn];
    if (frame.owner() != FrameOwner::domain || host_writes(domain, mfn)) {
        return -abi::XEN_EINVAL;
    }
    flush_stale_tlbs(domain); // no processor may still write through a mapping that is gone
    if (type == FrameType::descriptor) {
        return validate_descriptor_page(domain, mfn) ? 0 : -abi::XEN_EINVAL;
    }
    frame.word |= Frame::LOCKED;
    const Status status = validate_table(vcpu, mfn, type);
    frame.word &= ~Frame::LOCKED;
    if (status == 0) {
        frame.word |= Frame::VALIDATED;
    }
    return status;
}

} // namespace

Status acquire_type(Vcpu& vcpu, Mfn mfn, FrameType type) {
    Domain& domain = *vcpu.domain;
    if (!domain.frames.guest_may_map(mfn)) {
        return -abi::XEN_EINVAL;
    }
    // The word is read and written once: a batch of mapping updates comes here for each of its entries.
    Frame& frame = domain.frames[mfn];
    Frame next = frame;
    if (next.references() == Frame::COUNT_MASK || next.type_count() == Frame::COUNT_MASK) {
        return -abi::XEN_EINVAL;
    }
    const bool first = next.type_count() == 0;
    if (first) {
        next.set_type(type);
    } else if (next.type() != type || next.is(Frame::LOCKED)) {
        return -abi::XEN_EINVAL;
    }
    next.word += Frame::REFERENCE + 1;
    frame = next;
    if (!first || type == FrameType::writable) {
        return 0;
    }
    const Status status = first_type(vcpu, mfn, type);
    if (status != 0) {
        frame.word--;
        frame.set_type(FrameType::none);
        release_frame(domain, mfn);
    }
    return status;
}

void release_type(Vcpu& vcpu, Mfn mfn, FrameType type) {
    Domain& domain = *vcpu.domain;
    Frame& frame = domain.frames[mfn];
    if (frame.type_count() == 0 || frame.type() != type) {
        nucleus_bug(vcpu, "a type reference is released that nobody holds");
        return;
    }
    if (frame.type_count() == 1 && is_table(type)) {
        frame.word |= Frame::LOCKED;
        invalidate_table(vcpu, mfn, type);
        frame.word &= ~(Frame::LOCKED | Frame::VALIDATED);
        // Paging-structure caches may still hold this table; it must be forgotten before its frame is anything else.
        note_stale_tlbs(domain);
        flush_stale_tlbs(domain);
    }
    Frame next = frame;
    if (next.type_count() == 1) {
        next.set_type(FrameType::none);
    }
    next.word -= Frame::REFERENCE + 1;
    frame = next;
}

Status pin_table(Vcpu& vcpu, Mfn mfn, FrameType type) {
    Domain& domain = *vcpu.domain;
    if (!domain.frames.domain_owns(mfn)) {
        return -abi::XEN_EINVAL;
    }
    const Status status = acquire_type(vcpu, mfn, type);
    if (status != 0) {
        return status;
    }
    Frame& frame = domain.frames[mfn];
    if (frame.is(Frame::PINNED)) {
        release_type(vcpu, mfn, type);
        return -abi::XEN_EINVAL;
    }
    frame.word |= Frame::PINNED;
    return 0;
}

Status unpin_table(Vcpu& vcpu, Mfn mfn) {
    Domain& domain = *vcpu.domain;
    if (!domain.frames.domain_owns(mfn) || !domain.frames[mfn].is(Frame::PINNED)) {
        return -abi::XEN_EINVAL;
    }
    Frame& frame = domain.frames[mfn];
    frame.word &= ~Frame::PINNED;
    release_type(vcpu, mfn, frame.type());
    return 0;
}

} // namespace parapet::nucleus
