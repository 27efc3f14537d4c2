// SPDX-License-Identifier: Apache-2.0
// TLB flushes that the guest asks for; the home carries them out before the guest runs (ExitWork).
#include "hypercall-emu/core/tlb.hpp"

#include "hypercall-emu/core/guest_memory.hpp"
#include "pv-abi/mmu.hpp"

namespace parapet::nucleus {

void flush_local(Vcpu& vcpu) {
    vcpu.tlb_stale = false;
    vcpu.work.flags |= ExitWork::FLUSH_TLB;
}

void flush_local_page(Vcpu& vcpu, GuestVa va) {
    if (!is_guest_va(va.address)) {
        return;
    }
    if ((vcpu.work.flags & ExitWork::INVLPG) != 0 && vcpu.work.invlpg_va != va.address) {
        flush_local(vcpu); // more than one page in one call: all
        return;
    }
    vcpu.work.flags |= ExitWork::INVLPG;
    vcpu.work.invlpg_va = va.address;
}

void flush_vcpus(Domain& domain, u64 mask) {
    for (u32 i = 0; i < domain.nr_vcpus; i++) {
        if ((mask >> i & 1) != 0) {
            flush_local(*domain.vcpus[i]);
        }
    }
}

/// A kind of flush that is none asks for none, as in Xen.
Status flush_after_update(Vcpu& vcpu, GuestVa va, u64 flags) {
    const u64 type = flags & abi::UVMF_FLUSHTYPE_MASK;
    if (type != abi::UVMF_TLB_FLUSH && type != abi::UVMF_INVLPG) {
        return 0;
    }
    const u64 whose = flags & ~u64{abi::UVMF_FLUSHTYPE_MASK};
    u64 mask = 1ULL << vcpu.id;
    if (whose == abi::UVMF_ALL) {
        mask = ALL_VCPUS;
    } else if (whose != abi::UVMF_LOCAL && !get(vcpu, mask, GuestVa{whose})) {
        return -abi::XEN_EFAULT;
    }
    if (type == abi::UVMF_TLB_FLUSH) {
        flush_vcpus(*vcpu.domain, mask);
        return 0;
    }
    if ((mask >> vcpu.id & 1) != 0) {
        flush_local_page(vcpu, va);
    }
    flush_vcpus(*vcpu.domain, mask & ~(1ULL << vcpu.id));
    return 0;
}

} // namespace parapet::nucleus
