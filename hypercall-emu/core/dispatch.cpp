// SPDX-License-Identifier: Apache-2.0
// From the vCPU's registers to a handler and back; continuation; multicall.
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/multicall.hpp"

namespace parapet::nucleus {

namespace {

/// The record of a call that begins. Its arguments are filled in by the caller.
CallTrace::Call& begin_call(Vcpu& vcpu, u64 number) {
    CallTrace::Call& call = vcpu.trace.calls[vcpu.trace.count++ % CallTrace::SIZE];
    call.number = number;
    call.rip = vcpu.regs->rip;
    return call;
}

/// Run it by the table. The arguments are read from the record: one copy serves the handler and the crash report.
Status run_call(Vcpu& vcpu, CallTrace::Call& call) {
    const HypercallEntry* entry = find_hypercall(call.number);
    const Status result = entry == nullptr ? -abi::XEN_ENOSYS : entry->guest64(vcpu, call.args);
    call.result = result;
    return result;
}

/// Issue the instruction again, with the arguments that say how far it came.
void rewind_hypercall(Vcpu& vcpu) {
    Regs& regs = *vcpu.regs;
    u64* const registers[] = {&regs.rdi, &regs.rsi, &regs.rdx, &regs.r10, &regs.r8, &regs.r9};
    regs.rip -= vcpu.domain->boot->hypercall_instruction_length;
    for (unsigned i = 0; i < vcpu.continued_args; i++) {
        *registers[i] = vcpu.continuation.a[i];
    }
}

} // namespace

void dispatch_hypercall(Vcpu& vcpu) {
    Regs& regs = *vcpu.regs;
    const u64 number = regs.rax;
    if (number < 64) {
        vcpu.domain->machine->mailbox->counters.hypercalls[number]++;
    }
    vcpu.preempted = false;
    vcpu.units_done = 0;
    if (number != abi::HYPERVISOR_iret) {
        vcpu.last_fault.count = 0;
    }
    CallTrace::Call& call = begin_call(vcpu, number);
    call.args.a[0] = regs.rdi;
    call.args.a[1] = regs.rsi;
    call.args.a[2] = regs.rdx;
    call.args.a[3] = regs.r10;
    call.args.a[4] = regs.r8;
    call.args.a[5] = regs.r9;
    const Status result = run_call(vcpu, call);
    if (vcpu.domain->dead) {
        return;
    }
    if (vcpu.preempted) {
        rewind_hypercall(vcpu);
        return;
    }
    regs.rax = static_cast<u64>(result);
}

bool preemption_due(Vcpu& vcpu) {
    constexpr u32 QUANTUM = 256;
    return ++vcpu.units_done >= QUANTUM || __atomic_load_n(&vcpu.irq_bits, __ATOMIC_RELAXED) != 0 ||
           event_deliverable(vcpu);
}

/// Must what the last call queued be carried out before the next one, rather than behind all? A vCPU that blocked
/// waits there, and a selector that is loaded later would undo a base that the next call sets, or find another table.
static bool next_call_waits(const Vcpu& vcpu) {
    return (vcpu.work.flags & (ExitWork::BLOCK | ExitWork::LOAD_GS_SELECTOR)) != 0;
}

/// multicall(entries, count): run each, store its result in its entry. Stops where an entry cannot be read or written,
/// and behind an iret: the guest has left the place that the rest would be reported to.
Status do_multicall(Vcpu& vcpu, const HypercallArgs& args) {
    if (vcpu.in_multicall) {
        return -abi::XEN_EINVAL;
    }
    const GuestVa entries{args.a[0]};
    const u64 count = static_cast<u32>(args.a[1]);
    Status status = 0;
    vcpu.in_multicall = true;
    for (u64 i = 0; i < count; i++) {
        if (i != 0 && (preemption_due(vcpu) || next_call_waits(vcpu))) {
            vcpu.in_multicall = false;
            return continue_hypercall(vcpu, {(entries + i * sizeof(abi::multicall_entry64)).address, count - i});
        }
        const GuestVa at = entries + i * sizeof(abi::multicall_entry64);
        abi::multicall_entry64 entry;
        if (!get(vcpu, entry, at)) {
            status = -abi::XEN_EFAULT;
            break;
        }
        CallTrace::Call& call = begin_call(vcpu, entry.op);
        for (unsigned j = 0; j < 6; j++) {
            call.args.a[j] = entry.args[j];
        }
        const auto result = static_cast<u64>(run_call(vcpu, call));
        if (vcpu.domain->dead) {
            break;
        }
        if (entry.op == abi::HYPERVISOR_iret) {
            (void)put(vcpu, at + offsetof(abi::multicall_entry64, result), result); // user mode may not have it mapped
            status = static_cast<int32_t>(result); // as Xen: what a multicall returns is an int
            break;
        }
        if (vcpu.preempted) {
            // The entry itself is to go on: leave its progress in it, and come back to it.
            for (unsigned j = 0; j < vcpu.continued_args; j++) {
                entry.args[j] = vcpu.continuation.a[j];
            }
            vcpu.in_multicall = false;
            if (!put(vcpu, at, entry)) {
                vcpu.preempted = false;
                return -abi::XEN_EFAULT;
            }
            return continue_hypercall(vcpu, {at.address, count - i});
        }
        if (!put(vcpu, at + offsetof(abi::multicall_entry64, result), result)) {
            status = -abi::XEN_EFAULT;
            break;
        }
    }
    vcpu.in_multicall = false;
    return status;
}

} // namespace parapet::nucleus
