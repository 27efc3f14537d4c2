// SPDX-License-Identifier: Apache-2.0
// What a kernel registers for entries, with each error: callback_op, nmi_op, set_trap_table, stack_switch,
// set_callbacks.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "entry_edges";

namespace {

constexpr uint64_t odd = 0x800000000000; // no canonical address

void callbacks() {
    const auto reg = [](uint16_t type, uint64_t at) {
        callback_register request{type, CALLBACKF_mask_events, at};
        return hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request);
    };
    const auto unreg = [](uint16_t type) {
        callback_unregister request{type, 0};
        return hypercall(__HYPERVISOR_callback_op, CALLBACKOP_unregister, &request);
    };
    const struct {
        uint16_t type;
        const char* entry;
    } types[] = {
        {CALLBACKTYPE_event, trap_stub_event},       {CALLBACKTYPE_failsafe, trap_stub_failsafe},
        {CALLBACKTYPE_syscall, user_syscall_entry},  {CALLBACKTYPE_nmi, trap_stubs + 2ul * trap_stub_size},
        {CALLBACKTYPE_sysenter, trap_stub_sysenter}, {CALLBACKTYPE_syscall32, trap_stub_syscall32},
    };
    for (const auto& row : types) {
        expect_result(reg(row.type, odd), -XEN_EINVAL, "an entry that is no canonical address");
        expect_result(reg(row.type, address_of(row.entry)), 0, "register");
        expect_result(unreg(row.type), row.type == CALLBACKTYPE_nmi ? 0 : -XEN_EINVAL, "unregister");
    }
    expect_result(unreg(CALLBACKTYPE_nmi), 0, "unregister twice");
    for (const unsigned type : {3u, 6u, 8u, 0xffffu}) {
        expect_result(reg(static_cast<uint16_t>(type), address_of(trap_stub_event)), -XEN_ENOSYS, "no such type");
        expect_result(unreg(static_cast<uint16_t>(type)), -XEN_ENOSYS, "no such type");
    }
    for (const unsigned command : {CALLBACKOP_register, CALLBACKOP_unregister}) {
        expect_result(hypercall(__HYPERVISOR_callback_op, command, 0x1000), -XEN_EFAULT, "bad pointer");
    }
    for (const unsigned command : {2u, ~0u}) {
        expect_result(hypercall(__HYPERVISOR_callback_op, command, 0x1000), -XEN_ENOSYS, "no such command");
    }
}

void nmis() {
    xennmi_callback request{odd, 0};
    expect_result(hypercall(__HYPERVISOR_nmi_op, XENNMI_register_callback, &request), -XEN_EINVAL, "not canonical");
    expect_result(hypercall(__HYPERVISOR_nmi_op, XENNMI_register_callback, 0x1000), -XEN_EFAULT, "bad pointer");
    expect_result(hypercall(__HYPERVISOR_nmi_op, XENNMI_unregister_callback, 0x1000), 0, "it takes no argument");
    for (const unsigned command : {2u, ~0u}) {
        expect_result(hypercall(__HYPERVISOR_nmi_op, command, 0x1000), -XEN_ENOSYS, "no such command");
    }
}

void set_overflow_flag(TrapFrame& frame) {
    frame.rax = 0x600d;
}

/// More entries than vectors; the same vector twice; a table that ends in a hole, before and behind its last entry.
void traps() {
    constexpr unsigned count = 600;
    auto* table = static_cast<trap_info_t*>(alloc_pages(3));
    const auto entry = [](unsigned vector, uint64_t address) {
        return trap_info_t{static_cast<uint8_t>(vector),
                           vector == vector_int80 || vector == vector_bp ? uint8_t{3} : uint8_t{0}, FLAT_KERNEL_CS,
                           address};
    };
    set_trap_handler(vector_bp, set_overflow_flag);
    const uint64_t stub = address_of(trap_stubs) + trap_stub_size * vector_bp;
    for (unsigned i = 0; i < count; ++i) {
        table[i] = entry(vector_bp, i == count - 1 ? stub : 0x1000);
    }
    table[count] = {};
    expect_result(hypercall(__HYPERVISOR_set_trap_table, table), 0, "600 entries, the last counts");
    uint64_t rax = 0;
    asm volatile("int3" : "+a"(rax));
    expect(rax == 0x600d, "rax %lx", rax);

    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    auto* last = reinterpret_cast<trap_info_t*>(pages + page_size) - 2;
    last[0] = entry(vector_bp, stub);
    last[1] = {};
    expect_result(hypercall(__HYPERVISOR_set_trap_table, last), 0, "the end of the table is the end of the page");
    last[1] = entry(vector_bp, stub);
    expect_result(hypercall(__HYPERVISOR_set_trap_table, last), -XEN_EFAULT, "no end before the hole");
    last[1] = entry(vector_bp, odd);
    expect_result(hypercall(__HYPERVISOR_set_trap_table, last), -XEN_EINVAL, "a handler that is not canonical");
    asm volatile("int3" : "+a"(rax = 0));
    expect(rax == 0x600d, "after refused tables rax is %lx", rax);
}

uint64_t stack_of_entry;

void note_stack(TrapFrame& frame) {
    stack_of_entry = address_of(&frame);
    user_leave(frame.rdi);
}

/// Entries from user mode come to the stack that was set last.
void stacks() {
    if (!expect_result(user_init(), 0, "making user mode")) {
        return;
    }
    callback_register request{CALLBACKTYPE_syscall, CALLBACKF_mask_events, address_of(trap_stub_syscall)};
    expect_result(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request), 0, "syscall callback");
    set_trap_handler(vector_syscall, note_stack);
    for (unsigned round = 0; round < 2; ++round) {
        const uint64_t top = address_of(alloc_page()) + page_size;
        expect_result(hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, odd), 0, "a stack that is none");
        expect_result(hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, top), 0, "stack_switch");
        expect(RUN_USER(user_add_one, 1) == 2, "user mode");
        expect(stack_of_entry < top && stack_of_entry >= top - page_size, "entry at %lx, stack %lx", stack_of_entry,
               top);
    }
}

} // namespace

void test() {
    callbacks();
    nmis();
    traps();
    stacks();
}

} // namespace parapet::guest
