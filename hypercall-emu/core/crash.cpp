// SPDX-License-Identifier: Apache-2.0
// The end of a domain that cannot go on: registers, page walk and last hypercalls, handed to the vmm.
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {

namespace {

void copy_reason(char (&to)[160], const char* from) {
    unsigned i = 0;
    for (; from[i] != 0 && i + 1 < sizeof(to); i++) {
        to[i] = from[i];
    }
    to[i] = 0;
}

void fill_walk(doorbell::CrashReport& report, Vcpu& vcpu, GuestVa va) {
    const Walk found = walk(*vcpu.domain, vcpu.kernel_mode ? vcpu.kernel_root : vcpu.user_root, va);
    report.walk_va = va.address;
    report.walk_levels = found.levels;
    for (unsigned i = 0; i < found.levels; i++) {
        report.walk[i] = found.entry[i].raw;
    }
}

void fill_calls(doorbell::CrashReport& report, const CallTrace& trace) {
    const u64 count = min_of<u64>(trace.count, CallTrace::SIZE);
    report.nr_calls = count;
    for (u64 i = 0; i < count; i++) {
        const CallTrace::Call& call = trace.calls[(trace.count - count + i) % CallTrace::SIZE];
        report.calls[i].number = call.number;
        for (unsigned j = 0; j < 4; j++) {
            report.calls[i].argument[j] = call.args.a[j];
        }
        report.calls[i].result = call.result;
        report.calls[i].rip = call.rip;
    }
}

/// As many leading bytes of [va, va + bytes) as are mapped, by steps of `step`.
u64 fill_memory(Vcpu& vcpu, void* to, GuestVa va, u64 bytes, u64 step) {
    u64 done = 0;
    while (done < bytes && copy_from_guest(vcpu, static_cast<u8*>(to) + done, va + done, step)) {
        done += step;
    }
    return done;
}

void report_and_stop(Vcpu& vcpu, doorbell::Request kind, const char* reason, GuestVa va) {
    Domain& domain = *vcpu.domain;
    if (domain.dead && kind == doorbell::Request::crash) {
        return;
    }
    domain.dead = true;
    doorbell::CrashReport& report = domain.machine->mailbox->request.crash;
    fill_bytes(&report, 0, sizeof(report));
    static_assert(sizeof(report.regs) == sizeof(Regs));
    copy_bytes(&report.regs, vcpu.regs, sizeof(Regs));
    report.cr2 = vcpu.cr2;
    report.kernel_root = vcpu.kernel_cr3;
    report.user_root = vcpu.user_root == NO_MFN ? 0 : vcpu.user_cr3;
    report.guest_kernel_mode = vcpu.kernel_mode;
    report.vcpu = vcpu.id;
    fill_walk(report, vcpu, va);
    fill_calls(report, vcpu.trace);
    report.nr_code = fill_memory(vcpu, report.code, GuestVa{vcpu.regs->rip}, sizeof(report.code), 1);
    report.nr_stack = fill_memory(vcpu, report.stack, GuestVa{vcpu.regs->rsp}, sizeof(report.stack), 8) / 8;
    copy_reason(report.reason, reason);
    vcpu.work.flags |= ExitWork::STOP;
    (void)domain.machine->request(kind, 0);
}

} // namespace

void crash_guest(Vcpu& vcpu, const char* reason) {
    crash_guest_at(vcpu, reason, GuestVa{vcpu.regs->rip});
}

void crash_guest_at(Vcpu& vcpu, const char* reason, GuestVa va) {
    report_and_stop(vcpu, doorbell::Request::crash, reason, va);
}

void nucleus_bug(Vcpu& vcpu, const char* reason) {
    report_and_stop(vcpu, doorbell::Request::nucleus_bug, reason, GuestVa{vcpu.cr2});
}

} // namespace parapet::nucleus
