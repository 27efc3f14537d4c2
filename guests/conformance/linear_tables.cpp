// SPDX-License-Identifier: Apache-2.0
// Linear page tables: a table that names itself, read-only, shows all tables below it at addresses of their own. For a
// domain that has the option.
// options: --linear-page-tables
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "linear_tables";

namespace {

constexpr uint64_t accessed_bits = pte_accessed | pte_dirty;
constexpr uint64_t self_flags = pte_present | pte_user | pte_accessed;

/// Where the entry of level 1 (2, 3, 4) for `va` shows through the root's slot `slot`.
const volatile uint64_t* shown_entry(unsigned slot, uint64_t va, unsigned level) {
    constexpr uint64_t canonical = 0xffff000000000000;
    uint64_t at = 0;
    for (unsigned i = 0; i < level; ++i) {
        at |= static_cast<uint64_t>(slot) << (39 - 9 * i);
    }
    at |= ((va & ~canonical) >> (9 * level)) & ~7ul & ((1ul << (48 - 9 * level)) - 1);
    return reinterpret_cast<const volatile uint64_t*>((at >> 47 & 1) != 0 ? at | canonical : at);
}

void shows_all_levels(unsigned slot) {
    const uint64_t va = address_of(&test_name);
    for (unsigned level = 1; level <= 4; ++level) {
        const uint64_t shown = *shown_entry(slot, va, level), is = *entry_of(va, level);
        expect(((shown ^ is) & ~accessed_bits) == 0, "level %u shows as %lx, is %lx", level, shown, is);
    }
}

void writes_fault(unsigned slot) {
    const uint64_t va = address_of(&test_name);
    for (unsigned level = 2; level <= 4; ++level) {
        auto* const entry = const_cast<volatile uint64_t*>(shown_entry(slot, va, level));
        expect_trap(catch_trap([&] { *entry = 0; }), vector_pf, 3, "a write through the window");
    }
}

/// The window follows what changes: it is the tables, not a copy.
void follows_changes(unsigned slot) {
    void* const page = alloc_page();
    const auto* const entry = shown_entry(slot, address_of(page), 1);
    expect((*entry & pte_write) != 0, "a writable page shows as %lx", *entry);
    expect_result(set_read_only(page), 0, "make the page read-only");
    expect((*entry & pte_write) == 0, "a read-only page shows as %lx", *entry);
    expect_result(set_writable(page), 0, "make the page writable");
}

/// A table of level 2 that names itself shows its last-level tables.
void lower_level() {
    const uint64_t va = free_window + (1ul << 39);
    expect_result(map_page(va, virt_to_mfn(alloc_page()), kernel_rw), 0, "make tables");
    const uint64_t l2 = pte_mfn(*entry_of(va, 3));
    constexpr uint64_t slot = 7; // of the table of level 2
    const uint64_t at = entry_machine_address(va + (slot << 21), 2);
    expect_result(write_entry(at, make_pte(l2, self_flags)), 0, "a table of level 2 that names itself");
    // va has the indices 0, 0 in it, so its last-level table shows in the first page of the window.
    const auto* const window = reinterpret_cast<const volatile uint64_t*>(va + (slot << 21));
    expect(((window[0] ^ *entry_of(va, 1)) & ~accessed_bits) == 0, "the last level shows as %lx", window[0]);
    expect_result(write_entry(at, 0), 0, "unlink");
}

} // namespace

void test() {
    const uint64_t root = virt_to_mfn(root_table());
    const unsigned slot = table_index(free_window, 4);
    const uint64_t at = entry_machine_address(free_window, 4);
    if (write_entry(at, make_pte(root, self_flags)) != 0) {
        skip("this hypervisor takes no linear page tables");
        return;
    }
    shows_all_levels(slot);
    writes_fault(slot);
    follows_changes(slot);
    expect_refused(write_entry(at, make_pte(root, self_flags | pte_write)), "the same entry, writable");
    expect_result(write_entry(at, make_pte(root, self_flags | 1ul << 9)), 0, "the same entry with a software bit");
    expect_result(write_entry(at, 0), 0, "unlink");
    expect_refused(write_entry(at, make_pte(root, table_flags)), "a writable one");
    expect_trap(catch_trap([&] { (void)*shown_entry(slot, 0, 4); }), vector_pf, 0, "a window that is gone");
    lower_level();
}

} // namespace parapet::guest
