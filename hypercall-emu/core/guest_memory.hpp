// SPDX-License-Identifier: Apache-2.0
// Checked access to guest memory: the only way the core follows a guest pointer (docs/architecture.md: invariant 5).
//
// The walk is done in software through the vCPU's current root, so it works alike in every home and needs no fault
// handler. An address in the hole, non-canonical, unmapped or (for writes) read-only fails; the caller answers -EFAULT.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

struct Walk {
    Pte entry[4];    ///< L4, L3, L2, L1
    unsigned levels; ///< how many of them were read
    bool mapped;     ///< all present, address is a guest's
    bool writable;   ///< RW at every level
    Mfn table;       ///< frame of the L1 table, if levels == 4
    Pte* slot;       ///< the L1 entry, if levels == 4
};

/// Walk `va` from `root`. Never fails: look at `mapped`.
[[nodiscard]] Walk walk(const Domain& domain, Mfn root, GuestVa va);

/// The last-level entry that maps an address, whatever it holds.
struct L1Slot {
    Pte* slot; ///< nullptr: there is no L1 table, or the address is none of a guest's
    Mfn table;
};

/// As walk(), in a fraction of the instructions. `needed`: flags that each entry on the way must have.
[[nodiscard]] L1Slot find_l1_slot(const Domain& domain, Mfn root, GuestVa va, u64 needed = Pte::PRESENT | Pte::USER);

/// Copy between the guest (kernel or user root, whichever runs) and the core. False: -EFAULT, a prefix may be copied.
[[nodiscard]] bool copy_from_guest(Vcpu& vcpu, void* destination, GuestVa source, u64 bytes);
[[nodiscard]] bool copy_to_guest(Vcpu& vcpu, GuestVa destination, const void* source, u64 bytes);

/// From the guest kernel's address space, whatever mode runs: for what a kernel registered by address.
[[nodiscard]] bool copy_from_guest_kernel(Vcpu& vcpu, void* destination, GuestVa source, u64 bytes);

template <typename T>
[[nodiscard]] bool get(Vcpu& vcpu, T& object, GuestVa source) {
    return copy_from_guest(vcpu, &object, source, sizeof(T));
}
template <typename T>
[[nodiscard]] bool put(Vcpu& vcpu, GuestVa destination, const T& object) {
    return copy_to_guest(vcpu, destination, &object, sizeof(T));
}

} // namespace parapet::nucleus
