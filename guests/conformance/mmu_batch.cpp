// SPDX-License-Identifier: Apache-2.0
// mmu_update: batches stop at the first error and say how many were done; pointers are checked.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "mmu_batch";

void test() {
    constexpr unsigned count = 40;
    constexpr unsigned bad = 17;
    const uint64_t frame = virt_to_mfn(alloc_page());
    mmu_update_t requests[count];
    for (unsigned i = 0; i < count; ++i) {
        const uint64_t va = free_window + i * page_size;
        expect_result(map_page(va, frame, kernel_rw), 0, "map");
        requests[i] = {entry_machine_address(va), make_pte(frame, kernel_ro)};
    }
    unsigned done = 1234;
    expect_result(mmu_update(requests, count, &done), 0, "good batch");
    expect(done == count, "done is %u after a good batch", done);
    for (auto& request : requests) {
        request.val = 0;
    }
    requests[bad].val = make_pte(virt_to_mfn(root_table()), kernel_rw);
    done = 1234;
    expect_type_conflict(mmu_update(requests, count, &done), "batch with a bad entry");
    expect(done == bad, "done is %u, want %u", done, bad);
    expect(*entry_of(free_window + (bad - 1) * page_size) == 0, "the entry before the bad one was not done");
    expect((*entry_of(free_window + bad * page_size) & pte_present) != 0, "the bad entry was done");
    expect((*entry_of(free_window + (bad + 1) * page_size) & pte_present) != 0, "an entry after the bad one was done");

    expect_result(mmu_update(nullptr, 0, nullptr), 0, "empty batch");
    expect_result(mmu_update(reinterpret_cast<mmu_update_t*>(0x1000), 1), -XEN_EFAULT, "requests at a hole");
    expect_result(mmu_update(reinterpret_cast<mmu_update_t*>(0x800000000000), 1), -XEN_EFAULT,
                  "non-canonical requests");
    requests[0].ptr = entry_machine_address(free_window) | 4;
    expect_result(mmu_update(requests, 1), -XEN_ENOSYS, "unknown command 4");
    requests[0].ptr = entry_machine_address(free_window);
    const long foreign = mmu_update(requests, 1, nullptr, 77);
    expect(foreign == -XEN_ESRCH || foreign == -XEN_EPERM, "a domain that is not there: %ld", foreign);

    // MMU_PT_UPDATE_PRESERVE_AD keeps the accessed and dirty bits that the CPU set.
    const uint64_t va = free_window;
    expect_result(write_entry(entry_machine_address(va), make_pte(frame, pte_present | pte_write)), 0, "clean entry");
    *reinterpret_cast<volatile uint64_t*>(va) = 1;
    expect_result(write_entry(entry_machine_address(va), make_pte(frame, pte_present), MMU_PT_UPDATE_PRESERVE_AD), 0,
                  "preserve A and D");
    expect((*entry_of(va) & (pte_accessed | pte_dirty)) == (pte_accessed | pte_dirty), "A and D are lost: %lx",
           *entry_of(va));
}

} // namespace parapet::guest
