// SPDX-License-Identifier: Apache-2.0
// multicall: results in place, errors do not stop it, it does not nest, pointers are checked, an event between two
// calls changes no register but the arguments; iret in it is carried out, and ends it.
#include "guests/conformance/check.hpp"
#include "guests/lib/events.hpp"

namespace parapet::guest {

const char* const test_name = "multicall";

namespace {

multicall_entry_t call(unsigned number, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0) {
    multicall_entry_t entry{};
    entry.op = number;
    entry.result = 0x5555;
    entry.args[0] = a0;
    entry.args[1] = a1;
    entry.args[2] = a2;
    return entry;
}

/// The event that the first call sends stops the list; after its upcall it goes on.
void keeps_registers() {
    const long bound = bind_ipi();
    if (!expect(bound >= 0, "bind_ipi: %ld", bound)) {
        return;
    }
    const auto port = static_cast<evtchn_port_t>(bound);
    unmask_port(port);
    unmask_events();
    evtchn_send_t send{port};
    multicall_entry_t calls[] = {
        call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, address_of(&send)),
        call(__HYPERVISOR_xen_version, XENVER_version),
    };
    long result = 0;
    uint64_t first = address_of(calls), count = 2, rdx = 0x22;
    register uint64_t r10 asm("r10") = 0x33;
    register uint64_t r8 asm("r8") = 0x44;
    register uint64_t r9 asm("r9") = 0x55;
    asm volatile("call *%[entry]"
                 : "=a"(result), "+D"(first), "+S"(count), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                 : [entry] "r"(hypercall_page + __HYPERVISOR_multicall * 32ul)
                 : "rcx", "r11", "memory", "cc");
    const uint64_t after[] = {rdx, r10, r8, r9};
    mask_events();
    expect_result(result, 0, "multicall with an event");
    expect(event_count(port) == 1, "%lu upcalls", event_count(port));
    expect_result(static_cast<long>(calls[1].result), xen_version(XENVER_version, nullptr), "the call after the event");
    expect(after[0] == 0x22 && after[1] == 0x33 && after[2] == 0x44 && after[3] == 0x55,
           "rdx %lx r10 %lx r8 %lx r9 %lx after a multicall that went on", after[0], after[1], after[2], after[3]);
}

struct Registers {
    uint64_t rax, rcx, r11, rsp_before, rsp_after;
};

/// A multicall whose list has an iret to the next instruction, in kernel mode with events masked. The stub of the
/// hypercall page pushes rcx and r11, which makes the two first words of the frame, rax and r11.
Registers iret_by_multicall(multicall_entry_t* calls, uint64_t count, uint64_t rax) {
    Registers result{};
    asm volatile("movq %%rsp, %[before]\n"
                 "movq %%rsp, %%rdx\n"
                 "pushq %[ss]\n"
                 "pushq %%rdx\n"
                 "pushq $2\n"
                 "pushq %[cs]\n"
                 "pushq $1f\n"
                 "pushq $0\n"
                 "pushq $0xcccc\n"
                 "movq $0xbbbb, %%rcx\n"
                 "movq %[wanted], %%r11\n"
                 "jmp hypercall_page + 13 * 32\n"
                 "1: movq %%rsp, %[after]\n"
                 "movq %%rax, %[rax]\n"
                 "movq %%rcx, %[rcx]\n"
                 "movq %%r11, %[r11]\n"
                 : [rax] "=m"(result.rax), [rcx] "=m"(result.rcx), [r11] "=m"(result.r11),
                   [before] "=m"(result.rsp_before), [after] "=m"(result.rsp_after), "+D"(calls), "+S"(count)
                 : [wanted] "m"(rax), [ss] "i"(FLAT_KERNEL_SS), [cs] "i"(FLAT_KERNEL_CS & ~3)
                 : "rax", "rcx", "rdx", "r11", "memory", "cc");
    return result;
}

void iret_ends_it() {
    multicall_entry_t calls[] = {
        call(__HYPERVISOR_xen_version, XENVER_version),
        call(__HYPERVISOR_iret),
        call(__HYPERVISOR_xen_version, XENVER_version),
    };
    unmask_events();
    Registers got = iret_by_multicall(calls, 3, 0x1234);
    expect(got.rax == 0x1234 && got.rcx == 0xcccc && got.r11 == 0xbbbb, "iret in a multicall: rax %lx rcx %lx r11 %lx",
           got.rax, got.rcx, got.r11);
    expect(got.rsp_before == got.rsp_after, "iret in a multicall: rsp %lx became %lx", got.rsp_before, got.rsp_after);
    expect(events_masked(), "iret in a multicall did not mask events");
    expect_result(static_cast<long>(calls[0].result), xen_version(XENVER_version, nullptr), "the call before the iret");
    expect_result(static_cast<long>(calls[1].result), 0x1234, "the iret's own result");
    expect_result(static_cast<long>(calls[2].result), 0x5555, "the call behind the iret");
    // What the caller gets is an int, as any multicall's result.
    got = iret_by_multicall(calls + 1, 1, 0x123489abcdef);
    expect(got.rax == 0xffffffff89abcdef && calls[1].result == 0x123489abcdef,
           "rax %lx and result %lx for 123489abcdef", got.rax, calls[1].result);
    expect_result(hypercall(__HYPERVISOR_multicall, calls, 1), 0, "a multicall after it");
}

} // namespace

void test() {
    keeps_registers();
    iret_ends_it();
    void* page = alloc_page();
    const long version = xen_version(XENVER_version, nullptr);
    multicall_entry_t calls[] = {
        call(__HYPERVISOR_xen_version, XENVER_version),
        call(60),
        call(__HYPERVISOR_update_va_mapping, address_of(page), make_pte(virt_to_mfn(page), kernel_ro), UVMF_INVLPG),
        call(1000000),
        call(__HYPERVISOR_xen_version, XENVER_version),
    };
    constexpr unsigned count = sizeof(calls) / sizeof(calls[0]);
    expect_result(hypercall(__HYPERVISOR_multicall, calls, count), 0, "multicall");
    const auto result = [&](unsigned i) { return static_cast<long>(calls[i].result); };
    expect_result(result(0), version, "first");
    expect_result(result(1), -XEN_ENOSYS, "unknown");
    expect_result(result(2), 0, "update_va_mapping");
    expect_result(result(3), -XEN_ENOSYS, "number out of range");
    expect_result(result(4), version, "last");
    expect_trap(catch_trap([=] { *static_cast<volatile uint64_t*>(page) = 1; }), vector_pf, 3,
                "the mapping is read-only", address_of(page));

    expect_result(hypercall(__HYPERVISOR_multicall, calls, 0), 0, "no calls");
    expect_result(hypercall(__HYPERVISOR_multicall, 0x1000, 1), -XEN_EFAULT, "calls at a hole");
    expect_refused(hypercall(__HYPERVISOR_multicall, 0x800000000000, 1), "non-canonical calls");
    expect_refused(hypercall(__HYPERVISOR_multicall, HYPERVISOR_VIRT_START, 1), "calls in the hypervisor");
    multicall_entry_t inner[] = {call(__HYPERVISOR_xen_version, XENVER_version)};
    multicall_entry_t outer[] = {call(__HYPERVISOR_multicall, address_of(inner), 1)};
    const long nested = hypercall(__HYPERVISOR_multicall, outer, 1);
    expect(nested < 0 || static_cast<long>(outer[0].result) < 0, "multicall nests: %ld, inner %lx", nested,
           outer[0].result);

    // A list over a page boundary, and one that ends in a hole.
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    auto* crossing = reinterpret_cast<multicall_entry_t*>(pages + page_size - sizeof(multicall_entry_t) - 8);
    crossing[0] = call(__HYPERVISOR_xen_version, XENVER_version);
    crossing[1] = call(__HYPERVISOR_xen_version, XENVER_version);
    expect_result(hypercall(__HYPERVISOR_multicall, crossing, 2), 0, "a list over two pages");
    expect_result(static_cast<long>(crossing[1].result), version, "the entry on the boundary");
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    crossing[0].result = 0x5555;
    expect_result(hypercall(__HYPERVISOR_multicall, crossing, 2), -XEN_EFAULT, "a list that ends in a hole");
}

} // namespace parapet::guest
