// SPDX-License-Identifier: Apache-2.0
// For tests that let the guest's own instructions fault: code in page 0, and a handler per exception.
#pragma once

#include <initializer_list>

#include "hypercall-emu/core/regs.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/trap.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {

inline constexpr u64 HANDLERS = FakeVm::BASE + 3 * PAGE_SIZE;

/// Where the guest's handler for `vector` is.
inline u64 handler_va(unsigned vector) {
    return HANDLERS + vector;
}

/// A guest about to run `code`, in page `pfn` at `offset`, with handlers for all exceptions and a stack in page 2.
inline Regs& guest_at(FakeVm& vm, std::initializer_list<int> code, u64 pfn = 0, u64 offset = 0) {
    u64 at = offset;
    for (const int byte : code) {
        vm.at<u8>(pfn + at / PAGE_SIZE, at % PAGE_SIZE) = static_cast<u8>(byte);
        at++;
    }
    Vcpu& vcpu = vm.vcpu();
    for (unsigned vector = 0; vector < 256; vector++)
        vcpu.traps[vector] = {handler_va(vector), abi::x64::FLAT_KERNEL_CS64, 0};
    Regs& regs = *vcpu.regs;
    regs.rip = vm.va(pfn, offset).address;
    regs.rsp = vm.va(2, PAGE_SIZE).address;
    regs.rflags = rflags::FIXED | rflags::IF;
    regs.error = 0;
    return regs;
}

/// Let the instruction at rip fault with `vector` and `error`.
inline ExitWork fault(FakeVm& vm, unsigned vector, u64 error = 0) {
    vm.vcpu().regs->error = error;
    return vm.enter(vector);
}

/// Was the fault handed to the guest's own handler?
inline bool reached_handler(FakeVm& vm, unsigned vector) {
    return vm.vcpu().regs->rip == handler_va(vector);
}

} // namespace parapet::nucleus::test
