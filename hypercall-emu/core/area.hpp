// SPDX-License-Identifier: Apache-2.0
// Mappings in a vCPU's area that change while it runs: the windows of its descriptor tables and of its vcpu_info.
#pragma once

#include "hypercall-emu/core/domain.hpp"
#include "hypercall-emu/core/vcpu.hpp"
#include "pv-abi/nucleus_image.hpp"

namespace parapet::nucleus {

/// Virtual address of an offset in the area.
inline u64 area_va(const Vcpu& vcpu, u64 offset) {
    return doorbell::vcpu_area_va(vcpu.id) + offset;
}

/// The L1 entry that maps the page at an offset in the area. The tables of all areas are contiguous.
inline Pte* area_slot(const Vcpu& vcpu, u64 offset) {
    return vcpu.domain->area_tables + (area_va(vcpu, offset) - doorbell::NUCLEUS_VA) / PAGE_SIZE;
}

/// Flags of such a mapping: for ring 0 only.
inline constexpr u64 AREA_PAGE_FLAGS = Pte::PRESENT | Pte::ACCESSED | Pte::DIRTY | Pte::NX;

/// The vCPU's vcpu_info is at `offset` of frame `mfn` from now on. The entry stubs see it through the area's window,
/// near everything else that they touch.
void place_info(Vcpu& target, Mfn mfn, u64 offset);

/// Show the entry stubs that vcpu_info, or words by which they leave all frames to the core (an event seems pending and
/// masked): where VMASST_TYPE_architectural_iopl wants IOPL in each frame, and from an NMI to the iret that ends it.
void place_entry_info(Vcpu& target);

} // namespace parapet::nucleus
