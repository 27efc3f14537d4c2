// SPDX-License-Identifier: Apache-2.0
// Trap table, dispatch, and the guard that turns an exception into a value.
#include "guests/lib/traps.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/shutdown.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned exception_count = 32;
constexpr uint64_t trap_stub_size = 32;

TrapHandler handlers[vector_count];
uint64_t guard_rsp = 0; // not 0: catch_trap() is running
Caught* guard_result = nullptr;

bool reserved_vector(unsigned vector) {
    return vector == 9 || vector == 15 || (vector > vector_xm && vector < exception_count);
}

void unhandled(TrapFrame& frame) {
    print("guest: unhandled vector %lu\n", frame.vector);
    print_frame(frame);
    shutdown(SHUTDOWN_crash);
}

void unwind_to_guard(TrapFrame& frame) {
    guard_result->vector = static_cast<unsigned>(frame.vector);
    guard_result->error_code = frame.error_code;
    guard_result->cr2 = fault_address();
    guard_result->rip = frame.rip;
    frame.rip = address_of(guarded_call_end);
    frame.rsp = guard_rsp;
    frame.rflags &= ~0x40100ul; // TF, AC
    guard_rsp = 0;
}

} // namespace

extern "C" void trap_dispatch(TrapFrame* frame) {
    const auto vector = static_cast<unsigned>(frame->vector);
    if (vector == vector_event && handlers[vector] == nullptr) {
        events_dispatch();
        return;
    }
    if (handlers[vector] != nullptr) {
        handlers[vector](*frame);
    } else if (guard_rsp != 0 && vector < exception_count && !frame->from_user()) {
        unwind_to_guard(*frame);
    } else {
        unhandled(*frame);
    }
}

TrapHandler set_trap_handler(unsigned vector, TrapHandler handler) {
    TrapHandler before = handlers[vector];
    handlers[vector] = handler;
    return before;
}

unsigned default_trap_table(trap_info_t* table, unsigned capacity) {
    unsigned used = 0;
    for (unsigned vector = 0; vector < exception_count && used + 2 < capacity; ++vector) {
        if (reserved_vector(vector)) {
            continue;
        }
        // #BP and #OF may be raised from user mode; bit 2 of flags would mask events on entry.
        const uint8_t privilege = vector == vector_bp || vector == vector_of ? 3 : 0;
        table[used++] = {static_cast<uint8_t>(vector), privilege, FLAT_KERNEL_CS,
                         address_of(trap_stubs) + vector * trap_stub_size};
    }
    table[used++] = {vector_int80, 3, FLAT_KERNEL_CS, address_of(trap_stub_int80)};
    table[used] = {};
    return used;
}

void traps_init() {
    trap_info_t table[exception_count + 2];
    default_trap_table(table, exception_count + 2);
    if (const long error = hypercall(__HYPERVISOR_set_trap_table, table); error != 0) {
        print("guest: set_trap_table: %ld\n", error);
        shutdown(SHUTDOWN_crash);
    }
    const struct {
        uint16_t type;
        char* entry;
    } callbacks[] = {{CALLBACKTYPE_event, trap_stub_event},
                     {CALLBACKTYPE_failsafe, trap_stub_failsafe},
                     {CALLBACKTYPE_syscall, trap_stub_syscall}};
    for (const auto& callback : callbacks) {
        callback_register request{callback.type, 0, address_of(callback.entry)};
        if (const long error = hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request); error != 0) {
            print("guest: callback %u: %ld\n", callback.type, error);
            shutdown(SHUTDOWN_crash);
        }
    }
}

uint64_t fault_address() {
    return this_vcpu().arch.cr2;
}

void print_frame(const TrapFrame& frame) {
    print("  vector %lu code %lx rip %lx cs %lx rflags %lx rsp %lx ss %lx cr2 %lx\n", frame.vector, frame.error_code,
          frame.rip, frame.cs, frame.rflags, frame.rsp, frame.ss, fault_address());
    print("  rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx rbp %lx\n", frame.rax, frame.rbx, frame.rcx, frame.rdx,
          frame.rsi, frame.rdi, frame.rbp);
    print("  r8 %lx r9 %lx r10 %lx r11 %lx r12 %lx r13 %lx r14 %lx r15 %lx\n", frame.r8, frame.r9, frame.r10, frame.r11,
          frame.r12, frame.r13, frame.r14, frame.r15);
}

Caught catch_trap(void (*body)(void*), void* argument) {
    Caught result;
    guard_result = &result;
    guarded_call(body, argument, &guard_rsp);
    guard_rsp = 0;
    return result;
}

} // namespace parapet::guest
