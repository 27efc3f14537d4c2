// SPDX-License-Identifier: Apache-2.0
// The core's Machine, home ring0: privileged instructions are at hand.
#include "hypercall-emu/core/machine.hpp"

#include "hypercall-emu/core/domain.hpp"
#include "hypercall-emu/ring0/privileged.hpp"
#include "hypercall-emu/ring0/vector_ones.hpp"

namespace parapet::nucleus {

void Machine::write_pte(Pte* slot, Pte value) {
    __atomic_store_n(&slot->raw, value.raw, __ATOMIC_RELEASE);
}

bool Machine::replace_pte(Pte* slot, Pte expected, Pte value) {
    return __atomic_compare_exchange_n(&slot->raw, &expected.raw, value.raw, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void Machine::activate_root(u64 cr3) {
    write_cr3(cr3);
}

void Machine::data_selectors(u16 (&selectors)[4]) {
    read_data_selectors(selectors);
}

u64 Machine::read_tsc() {
    return read_tsc_counter();
}

u64 Machine::read_msr(u32 index) {
    return nucleus::read_msr(index);
}

bool Machine::fill_vector_register(unsigned number, unsigned bytes) {
    // A KVM that interprets ring 0 does not interpret these.
    return vcpu->domain->boot->syscall_arrival == doorbell::SyscallArrival::ring0 && set_vector_ones(number, bytes);
}

int64_t Machine::request(doorbell::Request kind, u32 length) {
    mailbox->counters.syscalls = vcpu->syscalls;
    mailbox->request.kind = kind;
    mailbox->request.length = length;
    out_byte(doorbell::REQUEST_PORT, 0);
    return mailbox->request.result;
}

void Machine::wake(u32 vcpu_id) {
    write_msr(msr::X2APIC_ICR, static_cast<u64>(vcpu_id) << 32 | doorbell::WAKE_VECTOR);
}

} // namespace parapet::nucleus
