// SPDX-License-Identifier: Apache-2.0
// Trapped writable page tables: plain, exchanged and partial writes to L1 entries, good and bad.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pt_writable_assist";

namespace {

uint64_t write_pte(uint64_t* pte, uint64_t value, Caught& caught) {
    caught = catch_trap([&] { *const_cast<volatile uint64_t*>(pte) = value; });
    return *pte;
}

constexpr uint64_t hardware_bits =
    pte_accessed | pte_dirty | pte_user | 0x100 | 0x7fful << 52; // U, G and free bits: the hypervisor's own use

bool same_mapping(uint64_t a, uint64_t b) {
    return ((a ^ b) & ~hardware_bits) == 0;
}

void exchange_writes(uint64_t* pte, uint64_t one, uint64_t two) {
    uint64_t expected = *pte;
    bool swapped = false;
    Caught got = catch_trap(
        [&] { swapped = __atomic_compare_exchange_n(pte, &expected, two, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); });
    expect_trap(got, no_trap, 0, "cmpxchg");
    expect(swapped && same_mapping(*pte, two), "cmpxchg did not swap: %lx", *pte);
    expected = one ^ 0x1000;
    got = catch_trap(
        [&] { swapped = __atomic_compare_exchange_n(pte, &expected, one, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); });
    expect_trap(got, no_trap, 0, "failing cmpxchg");
    expect(!swapped && same_mapping(expected, two), "a cmpxchg with the wrong old value swapped");
    uint64_t old = 0;
    got = catch_trap([&] { old = __atomic_exchange_n(pte, 0, __ATOMIC_SEQ_CST); });
    expect_trap(got, no_trap, 0, "xchg with 0");
    expect(same_mapping(old, two) && *pte == 0, "xchg gave %lx and left %lx", old, *pte);
}

} // namespace

void test() {
    if (!expect_result(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables), 0,
                       "enable the assist")) {
        return;
    }
    const uint64_t va = address_of(alloc_page());
    uint64_t* pte = entry_of(va);
    const uint64_t one = make_pte(virt_to_mfn(reinterpret_cast<void*>(va)), kernel_rw);
    void* other = alloc_page();
    *static_cast<uint64_t*>(other) = 0x1234;
    const uint64_t two = make_pte(virt_to_mfn(other), kernel_rw);
    Caught got;

    expect(write_pte(pte, 0, got) == 0, "clearing left %lx", *pte);
    expect_trap(got, no_trap, 0, "clearing an entry");
    expect(same_mapping(write_pte(pte, two, got), two), "setting gave %lx", *pte);
    expect_trap(got, no_trap, 0, "setting an entry");
    expect(*reinterpret_cast<volatile uint64_t*>(va) == 0x1234, "the new page is not seen");

    // Writes that break an invariant fault as if there were no assist, and change nothing.
    const uint64_t before = *pte;
    expect(write_pte(pte, make_pte(virt_to_mfn(root_table()), kernel_rw), got) == before, "root mapped writable");
    expect_trap(got, vector_pf, 3, "a table mapped writable", address_of(pte));
    expect(write_pte(pte, make_pte(0xfffffffff, kernel_rw), got) == before, "wild frame mapped");
    expect_trap(got, vector_pf, 3, "a wild frame", address_of(pte));

    uint64_t* level2 = entry_of(va, 2);
    expect_trap(catch_trap([&] { *const_cast<volatile uint64_t*>(level2) = *level2; }), vector_pf, 3,
                "the assist is for level 1 only", address_of(level2));

    exchange_writes(pte, one, two);
    got = catch_trap([&] { __atomic_store_n(pte, one, __ATOMIC_SEQ_CST); });
    expect_trap(got, no_trap, 0, "xchg store");
    got = catch_trap([&] { asm volatile("movl %1, %0" : "=m"(*reinterpret_cast<uint32_t*>(pte)) : "r"(0)); });
    expect_trap(got, no_trap, 0, "32-bit write of the low half");
    expect((*pte & pte_present) == 0 && same_mapping(*pte >> 32 << 32, one >> 32 << 32), "after the half write: %lx",
           *pte);
    expect_result(update_va_mapping(va, one), 0, "back");
    expect_result(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_TYPE_writable_pagetables), 0, "disable");
    if (!is_initial_domain()) { // for which Xen emulates writes to read-only pages always
        expect_trap(catch_trap([&] { *const_cast<volatile uint64_t*>(pte) = 0; }), vector_pf, 3, "write after disable");
    }
}

} // namespace parapet::guest
