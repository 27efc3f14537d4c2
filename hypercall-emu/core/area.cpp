// SPDX-License-Identifier: Apache-2.0
#include "hypercall-emu/core/area.hpp"

#include "hypercall-emu/core/tlb.hpp"

namespace parapet::nucleus {

void place_info(Vcpu& target, Mfn mfn, u64 offset) {
    Machine& machine = *target.domain->machine;
    target.info = static_cast<u8*>(machine.frame(mfn)) + offset;
    machine.write_pte(area_slot(target, doorbell::AREA_INFO), Pte::make(mfn, AREA_PAGE_FLAGS | Pte::RW));
    target.entry_info = reinterpret_cast<u8*>(area_va(target, doorbell::AREA_INFO + offset));
    flush_local(target);
}

} // namespace parapet::nucleus
