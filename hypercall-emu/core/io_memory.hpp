// SPDX-License-Identifier: Apache-2.0
// I/O memory: frame numbers with no RAM behind them. A guest may map them in last-level entries; there it finds what a
// PC shows where no device is: reads give all ones, writes go nowhere.
//
// The entry is stored as the guest wrote it but for the user bit, so ring 3 never reaches the address: whatever KVM has
// there (its interrupt controllers do lie in the gap below 4 GiB) stays out of reach. Each access faults and is
// emulated. Such a frame has no owner, no counts and no type, so it is refused wherever a frame of the domain is
// wanted.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

/// Is it an address that the guest's processor has?
[[nodiscard]] bool is_physical_address(const Domain& domain, Mfn mfn);
/// May the guest map this frame as I/O memory: no RAM, and an address that its processor has.
[[nodiscard]] inline bool is_io_memory(const Domain& domain, Mfn mfn) {
    return !domain.is_ram(mfn) && is_physical_address(domain, mfn);
}
/// A present L1 entry, as it is stored: of all that the guest has in its tables, only such ones are not ring 3's to
/// use.
[[nodiscard]] constexpr bool maps_io_memory(Pte stored) {
    return (stored.raw & Pte::USER) == 0;
}

/// A present L1 entry with such a frame comes or goes. While there is any, the core sees every page fault.
void note_io_mapping(Domain& domain);
void drop_io_mapping(Domain& domain);

/// A page fault of the guest at `va`, on a present entry: emulate the instruction if that is I/O memory. False: the
/// fault is the guest's.
[[nodiscard]] bool access_io_memory(Vcpu& vcpu, GuestVa va);

} // namespace parapet::nucleus
