// SPDX-License-Identifier: Apache-2.0
// Hypercalls that do little, and yielding.
#include "guests/bench/operation.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest::bench {

namespace {

constexpr unsigned unknown_number = 63; // an architecture slot that Xen never used
constexpr unsigned multicall_calls = 16;

uint64_t null_hypercall(uint64_t count) {
    return timed(count, [](uint64_t) { return xen_version(XENVER_version, nullptr) > 0; });
}

uint64_t unknown_hypercall(uint64_t count) {
    return timed(count, [](uint64_t) { return hypercall(unknown_number) == -XEN_ENOSYS; });
}

uint64_t multicall(uint64_t count) {
    static multicall_entry_t calls[multicall_calls];
    return timed(count, [](uint64_t) {
        for (auto& call : calls) {
            call = {};
            call.op = __HYPERVISOR_xen_version;
            call.args[0] = XENVER_version;
        }
        return hypercall(__HYPERVISOR_multicall, calls, multicall_calls) == 0;
    });
}

uint64_t yield(uint64_t count) {
    return timed(count, [](uint64_t) { return sched_op(SCHEDOP_yield) == 0; });
}

uint64_t stack_switch(uint64_t count) {
    const uint64_t stack = address_of(__builtin_frame_address(0)); // in force only once user mode is used
    return timed(count, [=](uint64_t) { return hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, stack) == 0; });
}

uint64_t set_segment_base(uint64_t count) {
    return timed(count, [](uint64_t) { return hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, 0x1000) == 0; });
}

/// The iret hypercall to the instruction after it.
uint64_t iret_kernel(uint64_t count) {
    return timed(count, [](uint64_t) {
        asm volatile("movq %%rsp, %%rdx\n"
                     "pushq %[ss]\n"
                     "pushq %%rdx\n"
                     "pushfq\n"
                     "pushq %[cs]\n"
                     "pushq $1f\n"
                     "pushq $0\n"
                     "jmp hypercall_page + 23 * 32\n"
                     "1:"
                     :
                     : [ss] "i"(FLAT_KERNEL_SS), [cs] "i"(FLAT_KERNEL_CS & ~3)
                     : "rax", "rcx", "rdx", "r11", "memory", "cc");
        return true;
    });
}

constexpr Operation operations[] = {
    {"null_hypercall", null_hypercall},
    {"unknown_hypercall", unknown_hypercall},
    {"multicall_16", multicall, multicall_calls},
    {"iret_kernel", iret_kernel},
    {"stack_switch", stack_switch},
    {"set_segment_base", set_segment_base},
    {"yield", yield},
};

} // namespace

constinit const Group basic_group = {nullptr, operations, sizeof(operations) / sizeof(operations[0])};

} // namespace parapet::guest::bench
