// SPDX-License-Identifier: Apache-2.0
// The roots that a vCPU runs on: CR3 only ever holds a validated, referenced L4 (docs/architecture.md: invariant 3).
#include "hypercall-emu/core/mm.hpp"

namespace parapet::nucleus {

Status set_kernel_root(Vcpu& vcpu, Mfn mfn) {
    const Status status = acquire_type(vcpu, mfn, FrameType::l4);
    if (status != 0) {
        return status;
    }
    const Mfn old = vcpu.kernel_root;
    vcpu.kernel_root = mfn;
    vcpu.kernel_cr3 = mfn.address();
    vcpu.tlb_stale = false;
    if (vcpu.kernel_mode) {
        vcpu.work.flags &= ~ExitWork::FLUSH_TLB; // nothing of before outlives the load of the root
        vcpu.domain->machine->activate_root(vcpu.kernel_cr3);
    }
    if (old != NO_MFN) {
        release_type(vcpu, old, FrameType::l4);
    }
    return 0;
}

Status set_user_root(Vcpu& vcpu, Mfn mfn) {
    if (mfn != NO_MFN) {
        const Status status = acquire_type(vcpu, mfn, FrameType::l4);
        if (status != 0) {
            return status;
        }
    }
    // Only the guest kernel asks for this, so the user root is not the one that the processor walks.
    const Mfn old = vcpu.user_root;
    vcpu.user_root = mfn;
    vcpu.user_cr3 = mfn == NO_MFN ? vcpu.domain->boot->stub_root_mfn << PAGE_SHIFT : mfn.address();
    if (old != NO_MFN) {
        release_type(vcpu, old, FrameType::l4);
    }
    return 0;
}

} // namespace parapet::nucleus
