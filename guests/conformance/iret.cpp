// SPDX-License-Identifier: Apache-2.0
// The iret hypercall to kernel mode: registers, event mask from rflags.IF; flags of both forms.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "iret";

namespace {

struct Result {
    uint64_t rax, rcx, r11, rsp_before, rsp_after;
};

/// iret to the next instruction with the flags given; what rax, rcx and r11 are then.
Result iret_here(uint64_t rflags, uint64_t vgcf) {
    Result result{};
    asm volatile("movq %%rsp, %[before]\n"
                 "movq %[flags], %%rsi\n"
                 "movq %[vgcf], %%rdi\n"
                 "movq %%rsp, %%rdx\n"
                 "pushq %[ss]\n"
                 "pushq %%rdx\n"
                 "pushq %%rsi\n"
                 "pushq %[cs]\n"
                 "pushq $1f\n"
                 "pushq %%rdi\n"
                 "movq $0xaaaa, %%rax\n"
                 "movq $0xcccc, %%rcx\n"
                 "movq $0xbbbb, %%r11\n"
                 "jmp hypercall_page + 23 * 32\n"
                 "1: movq %%rsp, %[after]\n"
                 "movq %%rax, %[rax]\n"
                 "movq %%rcx, %[rcx]\n"
                 "movq %%r11, %[r11]\n"
                 : [rax] "=m"(result.rax), [rcx] "=m"(result.rcx), [r11] "=m"(result.r11),
                   [before] "=m"(result.rsp_before), [after] "=m"(result.rsp_after)
                 : [flags] "m"(rflags), [vgcf] "m"(vgcf), [ss] "i"(FLAT_KERNEL_SS), [cs] "i"(FLAT_KERNEL_CS & ~3)
                 : "rax", "rcx", "rdx", "rsi", "rdi", "r11", "memory", "cc");
    return result;
}

constexpr uint64_t rflags_if = 0x200;

} // namespace

void test() {
    Result got = iret_here(2, 0);
    expect(got.rax == 0xaaaa && got.rcx == 0xcccc && got.r11 == 0xbbbb, "rax %lx rcx %lx r11 %lx", got.rax, got.rcx,
           got.r11);
    expect(got.rsp_before == got.rsp_after, "rsp %lx became %lx", got.rsp_before, got.rsp_after);
    expect(events_masked(), "IF clear did not mask events");
    got = iret_here(2 | rflags_if, 0);
    expect(!events_masked(), "IF set did not unmask events");
    got = iret_here(2, VGCF_in_syscall);
    expect(got.rax == 0xaaaa, "in-syscall form: rax %lx", got.rax);
    expect(got.rsp_before == got.rsp_after, "in-syscall form: rsp %lx became %lx", got.rsp_before, got.rsp_after);
    expect(events_masked(), "in-syscall form: IF clear did not mask events");

    // An event that is pending when iret unmasks is taken before the next instruction.
    const long port = bind_ipi();
    unmask_port(static_cast<evtchn_port_t>(port));
    notify_port(static_cast<evtchn_port_t>(port));
    expect(event_count(static_cast<evtchn_port_t>(port)) == 0, "the event was taken while masked");
    iret_here(2 | rflags_if, 0);
    expect(event_count(static_cast<evtchn_port_t>(port)) == 1, "the event was not taken at iret");

    // IOPL and other privileged flags do not stick: the real IF stays set, IOPL is the hypervisor's.
    iret_here(0x3000 | 2 | rflags_if, 0);
    uint64_t flags;
    asm volatile("pushfq; popq %0" : "=r"(flags));
    expect((flags & 0x3000) == 0, "iret gave IOPL %lx", flags >> 12 & 3);
    expect((flags & rflags_if) != 0, "the real IF is clear");
}

} // namespace parapet::guest
