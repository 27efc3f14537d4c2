// SPDX-License-Identifier: Apache-2.0
// The core's Machine, home ring3: what needs privilege is asked of ring 0.
#include "hypercall-emu/core/machine.hpp"

#include "hypercall-emu/core/emulate.hpp"
#include "hypercall-emu/ring0/privileged.hpp"
#include "hypercall-emu/ring0/vector_ones.hpp"
#include "hypercall-emu/ring3/control.hpp"

namespace parapet::nucleus {

void Machine::write_pte(Pte* slot, Pte value) {
    __atomic_store_n(&slot->raw, value.raw, __ATOMIC_RELEASE);
}

bool Machine::replace_pte(Pte* slot, Pte expected, Pte value) {
    return __atomic_compare_exchange_n(&slot->raw, &expected.raw, value.raw, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void Machine::activate_root(u64) {} // the core has a root of its own; the guest's is loaded on the way out

void Machine::data_selectors(u16 (&selectors)[4]) {
    read_data_selectors(selectors);
}

u64 Machine::read_tsc() {
    // The guest's CR4.TSD holds for the core too, until ring 0 has loaded another.
    if ((vcpu->cr4 & CR4_TSD) != 0 || (vcpu->work.flags & ExitWork::LOAD_FEATURES) != 0) {
        return call_ring0(*vcpu, Control::CALL_READ_TSC, 0);
    }
    return read_tsc_counter();
}

u64 Machine::read_msr(u32 index) {
    return call_ring0(*vcpu, Control::CALL_READ_MSR, index);
}

bool Machine::fill_vector_register(unsigned number, unsigned bytes) {
    return set_vector_ones(number, bytes);
}

int64_t Machine::request(doorbell::Request kind, u32 length) {
    mailbox->counters.syscalls = vcpu->syscalls;
    mailbox->request.kind = kind;
    mailbox->request.length = length;
    (void)call_ring0(*vcpu, Control::CALL_REQUEST, 0);
    return mailbox->request.result;
}

void Machine::wake(u32 vcpu_id) {
    (void)call_ring0(*vcpu, Control::CALL_WAKE, vcpu_id);
}

} // namespace parapet::nucleus
