// SPDX-License-Identifier: Apache-2.0
// Which bits of a page-table entry are the guest's: software bits at every level, by each way of writing; large pages,
// cache attributes and the global bit in tables are refused.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pt_bits";

namespace {

/// Bits of an L1 entry that Xen uses itself or the processor sets: user, global, accessed, dirty, and 52 (which Xen
/// sets on mappings of the kernel).
constexpr uint64_t not_compared = pte_accessed | pte_dirty | pte_user | 0x100 | 1ul << 52;

bool same(uint64_t got, uint64_t wanted) {
    return ((got ^ wanted) & ~not_compared) == 0;
}

void software_bits(unsigned level, uint64_t va) {
    const uint64_t machine = entry_machine_address(va, level);
    const uint64_t before = *entry_of(va, level);
    for (const unsigned bit : {9, 10, 11, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62}) {
        const uint64_t value = before ^ 1ul << bit;
        const long result = write_entry(machine, value);
        expect(result == 0 && same(*entry_of(va, level), value), "bit %u, level %u: %ld, reads %lx", bit, level, result,
               *entry_of(va, level));
        expect_result(write_entry(machine, before), 0, "as before");
    }
}

void other_ways(uint64_t va) {
    const uint64_t before = *entry_of(va);
    const uint64_t saved_dirty = before | 1ul << 58;
    expect_result(update_va_mapping(va, saved_dirty), 0, "update_va_mapping");
    expect(same(*entry_of(va), saved_dirty), "update_va_mapping left %lx", *entry_of(va));
    expect_result(write_entry(entry_machine_address(va), before ^ 1ul << 57, MMU_PT_UPDATE_PRESERVE_AD), 0,
                  "PRESERVE_AD");
    expect(same(*entry_of(va), before ^ 1ul << 57), "PRESERVE_AD left %lx", *entry_of(va));
    expect_result(update_va_mapping(va, before), 0, "as before");
    uint64_t* table = new_table(saved_dirty & ~pte_write);
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, virt_to_mfn(table)), 0, "pin a table with software bits");
    expect(same(table[0], saved_dirty & ~pte_write), "pinning left %lx", table[0]);
    expect_result(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(table)), 0, "unpin");
}

} // namespace

void test() {
    auto* page = static_cast<volatile uint64_t*>(alloc_page());
    page[0] = 77;
    const uint64_t va = address_of(page);
    for (unsigned level = 1; level <= 4; ++level) {
        software_bits(level, va);
    }
    other_ways(va);
    for (unsigned level = 2; level <= 4; ++level) {
        for (const unsigned bit : {3, 4, 7, 8}) {
            expect_result(write_entry(entry_machine_address(va, level), *entry_of(va, level) | 1ul << bit), -XEN_EINVAL,
                          "attributes of a table");
        }
    }
    // Cache attributes of a page: Xen lets only domains with devices set them.
    const uint64_t before = *entry_of(va);
    for (const uint64_t attributes : {1ul << 3, 1ul << 4, 1ul << 7, 0x98ul}) {
        const long result = update_va_mapping(va, before | attributes);
        expect(result == 0 || result == -XEN_EINVAL, "cache attributes: %ld", result);
        if (result == 0) {
            expect(same(*entry_of(va), before | attributes), "cache attributes became %lx", *entry_of(va));
            page[1] = page[0];
        }
    }
    expect_result(update_va_mapping(va, before), 0, "as before");
    expect(page[0] == 77, "the page lost its contents");
}

} // namespace parapet::guest
