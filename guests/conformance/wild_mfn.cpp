// SPDX-License-Identifier: Apache-2.0
// Frames that are not ours: beyond memory, all ones, not owned; in every call that takes one.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "wild_mfn";

namespace {

/// A frame in memory that no domain's pseudo-physical memory holds, or 0.
uint64_t frame_of_nobody() {
    if (!is_initial_domain()) {
        return 0;
    }
    const auto* m2p = reinterpret_cast<const uint64_t*>(machphys_start());
    for (uint64_t mfn = 0x1000; mfn < 0x20000; ++mfn) {
        if (m2p[mfn] > start_info().nr_pages) {
            return mfn;
        }
    }
    return 0;
}

} // namespace

void test() {
    void* page = alloc_page();
    const uint64_t va = address_of(page);
    const uint64_t own = virt_to_mfn(page);
    // An initial domain may map device memory, so only frames that cannot exist are wild to all.
    const uint64_t wild[] = {0xfffffffffful, 0x8000000000ul, frame_of_nobody()};
    for (const uint64_t mfn : wild) {
        if (mfn == 0) {
            continue;
        }
        expect_refused(update_va_mapping(va, make_pte(mfn, kernel_rw)), "update_va_mapping writable");
        expect_refused(write_entry(entry_machine_address(va), make_pte(mfn, kernel_ro)), "mmu_update read-only");
        expect_refused(write_entry(mfn << page_shift, 0), "mmu_update of an entry in it");
        expect_refused(write_entry(mfn << page_shift, 0, MMU_MACHPHYS_UPDATE), "M2P update");
        expect_refused(write_entry(entry_machine_address(free_window, 4), make_pte(mfn, table_flags)), "L4 entry");
        for (const unsigned command :
             {MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE, MMUEXT_UNPIN_TABLE,
              MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR, MMUEXT_CLEAR_PAGE}) {
            expect_refused(mmuext_mfn(command, mfn), "mmuext_op");
        }
    }
    expect(pte_mfn(*entry_of(va)) == own, "the mapping changed");
    *static_cast<volatile uint64_t*>(page) = 1;
}

} // namespace parapet::guest
