// SPDX-License-Identifier: Apache-2.0
#include "hypercall-emu/core/area.hpp"

#include "hypercall-emu/core/tlb.hpp"
#include "pv-abi/vm_assist.hpp"

namespace parapet::nucleus {

void place_info(Vcpu& target, Mfn mfn, u64 offset) {
    Machine& machine = *target.domain->machine;
    target.info = static_cast<u8*>(machine.frame(mfn)) + offset;
    machine.write_pte(area_slot(target, doorbell::AREA_INFO), Pte::make(mfn, AREA_PAGE_FLAGS | Pte::RW));
    target.info_offset = offset;
    place_entry_info(target);
    flush_local(target);
}

void place_entry_info(Vcpu& target) {
    if (target.domain->assists(abi::VMASST_TYPE_architectural_iopl) || target.nmi_masked != 0) {
        target.core_only[0] = target.core_only[1] = 1; // evtchn_upcall_pending, evtchn_upcall_mask
        target.entry_info = reinterpret_cast<u8*>(area_va(target, doorbell::AREA_VCPU + offsetof(Vcpu, core_only)));
    } else {
        target.entry_info = reinterpret_cast<u8*>(area_va(target, doorbell::AREA_INFO + target.info_offset));
    }
}

} // namespace parapet::nucleus
