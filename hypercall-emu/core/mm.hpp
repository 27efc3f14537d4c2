// SPDX-License-Identifier: Apache-2.0
// Page types and page-table validation (docs/architecture.md: invariants 1-4).
//
//   none --first writable mapping--> writable --count 0--> none
//   none --entry of level n+1, or pin--> validate all entries --> l<n> --count 0--> drop all entries --> none
//
// "Acquire" takes a reference and is refused with -EINVAL where the invariants do not allow it; "release" undoes it.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

/// One reference of the guest's to a frame it may map. False: not its frame, or too many references.
[[nodiscard]] bool acquire_frame(Domain& domain, Mfn mfn);
void release_frame(Domain& domain, Mfn mfn);
/// Has the host a writing use of the frame? Asked after the frame's word says what it is to become; if so, that is
/// taken back (doorbell.hpp: HostUse).
[[nodiscard]] bool host_writes(const Domain& domain, Mfn mfn);

/// A reference and a type reference; validates the frame as a table of that level if it is the first of its type.
/// 0, or -XEN_EINVAL / -XEN_EBUSY.
[[nodiscard]] Status acquire_type(Vcpu& vcpu, Mfn mfn, FrameType type);
void release_type(Vcpu& vcpu, Mfn mfn, FrameType type);

/// Whose frames a call about page tables means: 0 for DOMID_SELF. As in Xen, a domain cannot name itself by number.
[[nodiscard]] constexpr Status refuse_owner(u64 domid) {
    if (domid == abi::DOMID_SELF) {
        return 0;
    }
    return domid == 0 ? -abi::XEN_EPERM : -abi::XEN_ESRCH;
}

/// Change one entry of a validated table of type `level` (l1..l4) as the guest asked: validate the new entry, store it,
/// release what the old one held. `preserve_ad` keeps accessed and dirty bits that the processor set meanwhile.
[[nodiscard]] Status update_entry(Vcpu& vcpu, Mfn table, unsigned index, Pte value, bool preserve_ad);

[[nodiscard]] constexpr FrameType table_type(unsigned level) {
    return static_cast<FrameType>(static_cast<unsigned>(FrameType::l1) + level - 1);
}

/// Pin or unpin a table (MMUEXT_PIN_L*_TABLE, MMUEXT_UNPIN_TABLE).
[[nodiscard]] Status pin_table(Vcpu& vcpu, Mfn mfn, FrameType type);
[[nodiscard]] Status unpin_table(Vcpu& vcpu, Mfn mfn);

/// Make `mfn` the guest's kernel (or user) root. 0 or -errno; the old root is released.
[[nodiscard]] Status set_kernel_root(Vcpu& vcpu, Mfn mfn);
[[nodiscard]] Status set_user_root(Vcpu& vcpu, Mfn mfn); ///< NO_MFN: no user root

/// A writable mapping is gone and may linger in the TLB of every vCPU, since they share tables; asked before a frame
/// changes its type.
void note_stale_tlbs(Domain& domain);
/// Queue a flush wherever a stale writable entry may be left, before a frame changes its type or owner (invariant 4).
void flush_stale_tlbs(Domain& domain);

} // namespace parapet::nucleus
