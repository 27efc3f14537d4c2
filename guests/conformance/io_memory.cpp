// SPDX-License-Identifier: Apache-2.0
// Frames that are no RAM, mapped as I/O memory: all ones to read, writes go nowhere, by both ways of mapping, and
// nothing but that. Real Xen refuses such mappings to a domain without devices; its initial domain reaches real
// devices.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "io_memory";

namespace {

constexpr uint64_t chipset_mfn = 0xfed80;                                          // what Linux reads on AMD processors
constexpr uint64_t frames[] = {chipset_mfn, 0xfee00, 0xfec00, 0xd0000, 0x1000000}; // both interrupt controllers, ...
constexpr uint64_t io_flags = kernel_rw | 1 << 4;                                  // uncached

template <typename T>
void check_width(volatile void* at, const char* what) {
    auto* word = static_cast<volatile T*>(at);
    for (unsigned i = 0; i < 4; ++i) {
        const T value = word[i];
        expect(value == static_cast<T>(~T{0}), "%s read %u gave %lx", what, i, static_cast<uint64_t>(value));
        word[i] = static_cast<T>(0x5aa5);
        expect(word[i] == static_cast<T>(~T{0}), "%s %u was written", what, i);
    }
}

void check_vector(volatile void* at) {
    uint64_t low = 0;
    asm volatile("movdqu (%1), %%xmm1\n\tmovq %%xmm1, %0\n\tpxor %%xmm1, %%xmm1\n\tmovdqu %%xmm1, (%1)"
                 : "=&r"(low)
                 : "r"(at)
                 : "memory");
    expect(low == ~0ul, "a vector read gave %lx", low);
}

void check_strings(volatile uint8_t* at, uint8_t* buffer) {
    void* from = const_cast<uint8_t*>(at);
    void* to = buffer;
    uint64_t count = 64;
    memset(buffer, 0, page_size);
    asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    expect(buffer[0] == 0xff && buffer[63] == 0xff && buffer[64] == 0 && count == 0, "rep movsb out of it");
    to = const_cast<uint8_t*>(at);
    count = 8;
    asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    expect(count == 0 && to == at + 64, "rep stosq into it");
}

void check_all(volatile uint8_t* at, uint8_t* buffer) {
    check_width<uint8_t>(at, "1 byte");
    check_width<uint16_t>(at, "2 bytes");
    check_width<uint32_t>(at, "4 bytes");
    check_width<uint64_t>(at + 0x300, "8 bytes");
    check_width<uint32_t>(at + 0xff0, "the last 4 bytes");
    check_vector(at + 0x100);
    check_strings(at, buffer);
    uint64_t old = 7;
    asm volatile("lock xaddq %0, (%1)" : "+r"(old) : "r"(at) : "memory", "cc");
    expect(old == ~0ul, "xadd gave %lx", old);
}

void check_uses(uint64_t mfn) {
    for (const unsigned command : {MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE,
                                   MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR, MMUEXT_CLEAR_PAGE}) {
        expect_result(mmuext_mfn(command, mfn), -XEN_EINVAL, "mmuext_op");
    }
    uint64_t list = mfn;
    expect_result(hypercall(__HYPERVISOR_set_gdt, address_of(&list), 1), -XEN_EINVAL, "set_gdt");
    expect_result(write_entry(mfn << page_shift, 0), -XEN_EINVAL, "mmu_update of an entry in it");
    expect_result(write_entry(entry_machine_address(free_window, 4), make_pte(mfn, table_flags)), -XEN_EINVAL,
                  "as a table");
}

} // namespace

void test() {
    auto* page = static_cast<volatile uint8_t*>(alloc_page());
    auto* buffer = static_cast<uint8_t*>(alloc_page());
    const uint64_t va = address_of(page);
    const uint64_t own = make_pte(virt_to_mfn(page), kernel_rw);
    if (is_initial_domain()) {
        skip("an initial domain has devices");
        return;
    }
    const long first = update_va_mapping(va, make_pte(chipset_mfn, io_flags));
    if (first == -XEN_EPERM) {
        skip("real Xen maps no device for a domain that was not given one");
        return;
    }
    for (const uint64_t mfn : frames) {
        expect_result(update_va_mapping(va, make_pte(mfn, io_flags), UVMF_INVLPG), 0, "update_va_mapping");
        expect(pte_mfn(*entry_of(va)) == mfn && (*entry_of(va) & pte_present) != 0, "the entry reads %lx",
               *entry_of(va));
        check_all(page, buffer);
        expect_result(update_va_mapping(va, own, UVMF_INVLPG), 0, "back to memory");
        page[0] = 1;
        expect_result(write_entry(entry_machine_address(va), make_pte(mfn, io_flags)), 0, "mmu_update");
        expect_result(mmuext_mfn(MMUEXT_TLB_FLUSH_LOCAL, 0), 0, "flush");
        check_all(page, buffer);
        expect_result(write_entry(entry_machine_address(va), own), 0, "back to memory, mmu_update");
        expect_result(mmuext_mfn(MMUEXT_TLB_FLUSH_LOCAL, 0), 0, "flush");
        expect(page[0] == 1, "memory was written through the mapping");
        check_uses(mfn);
    }
    // Read-only: a write is the guest's page fault. A pointer of a hypercall into it is none.
    expect_result(update_va_mapping(va, make_pte(chipset_mfn, kernel_ro | 1 << 4), UVMF_INVLPG), 0, "read-only");
    expect_trap(catch_trap([=] { page[8] = 1; }), vector_pf, 3, "write to what is mapped read-only", va + 8);
    expect(page[8] == 0xff, "reading what is mapped read-only");
    expect_result(hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, va), -XEN_EFAULT, "a hypercall's argument there");
    expect_result(update_va_mapping(va, own, UVMF_INVLPG), 0, "back to memory");
    // A table that is pinned with such an entry.
    uint64_t* table = new_table(make_pte(chipset_mfn, io_flags));
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, virt_to_mfn(table)), 0, "pin a table that maps it");
    expect(pte_mfn(table[0]) == chipset_mfn, "the pinned table reads %lx", table[0]);
    expect_result(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(table)), 0, "unpin");
}

} // namespace parapet::guest
