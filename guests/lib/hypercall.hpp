// SPDX-License-Identifier: Apache-2.0
// Hypercalls through the hypercall page: number in the page's slot, arguments in rdi, rsi, rdx, r10, r8, result in rax.
#pragma once

#include "guests/lib/abi.hpp"

extern "C" char hypercall_page[];

namespace parapet::guest {

namespace detail {
template <typename T>
inline uint64_t word(T value) {
    if constexpr (__is_enum(T)) {
        return static_cast<uint64_t>(value);
    } else {
        return (uint64_t)value; // pointers and integers of any width and sign alike
    }
}
} // namespace detail

/// Any hypercall by number; every argument slot that is not given is 0.
inline long hypercall_raw(unsigned number, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0, uint64_t a4 = 0,
                          uint64_t a5 = 0) {
    register uint64_t r10 asm("r10") = a4;
    register uint64_t r8 asm("r8") = a5;
    long result;
    asm volatile("call *%[entry]"
                 : "=a"(result), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                 : [entry] "r"(hypercall_page + number * 32ul)
                 : "rcx", "r11", "memory", "cc");
    return result;
}

template <typename... Args>
inline long hypercall(unsigned number, Args... args) {
    return hypercall_raw(number, detail::word(args)...);
}

inline long update_va_mapping(uint64_t va, uint64_t pte, uint64_t flags = UVMF_INVLPG) {
    return hypercall(__HYPERVISOR_update_va_mapping, va, pte, flags);
}

inline long mmu_update(mmu_update_t* requests, unsigned count, unsigned* done = nullptr, unsigned domain = DOMID_SELF) {
    return hypercall(__HYPERVISOR_mmu_update, requests, count, done, domain);
}

inline long mmuext_op(mmuext_op_t* ops, unsigned count, unsigned* done = nullptr, unsigned domain = DOMID_SELF) {
    return hypercall(__HYPERVISOR_mmuext_op, ops, count, done, domain);
}

/// One mmuext operation whose argument is a frame number.
inline long mmuext_mfn(unsigned command, uint64_t mfn) {
    mmuext_op_t op{};
    op.cmd = command;
    op.arg1.mfn = mfn;
    return mmuext_op(&op, 1);
}

inline long sched_op(unsigned command, void* argument = nullptr) {
    return hypercall(__HYPERVISOR_sched_op, command, argument);
}

inline long event_channel_op(unsigned command, void* argument) {
    return hypercall(__HYPERVISOR_event_channel_op, command, argument);
}

inline long memory_op(unsigned command, void* argument) {
    return hypercall(__HYPERVISOR_memory_op, command, argument);
}

inline long vcpu_op(unsigned command, unsigned vcpu, void* argument) {
    return hypercall(__HYPERVISOR_vcpu_op, command, vcpu, argument);
}

inline long xen_version(unsigned command, void* argument) {
    return hypercall(__HYPERVISOR_xen_version, command, argument);
}

inline long set_timer_op(uint64_t deadline_ns) {
    return hypercall(__HYPERVISOR_set_timer_op, deadline_ns);
}

} // namespace parapet::guest
