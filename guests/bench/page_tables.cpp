// SPDX-License-Identifier: Apache-2.0
// Page-table updates, pinning and unpinning.
#include "guests/bench/operation.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest::bench {

namespace {

constexpr uint64_t window = 0x10000000000; // 2 TiB, slot 4: nothing else is there
constexpr unsigned window_pages = 128;
constexpr unsigned tree_pages = 64; // mappings in the table of the tree to pin

uint64_t frames[2];
mmu_update_t requests[2][window_pages];
uint64_t tree_root_mfn;
uint64_t full_table_mfn;

long prepare_window() {
    for (uint64_t& frame : frames) {
        frame = virt_to_mfn(alloc_page());
    }
    for (unsigned i = 0; i < window_pages; ++i) {
        const uint64_t va = window + i * page_size;
        if (const long error = map_page(va, frames[0], kernel_rw); error != 0) {
            return error;
        }
        for (unsigned which = 0; which < 2; ++which) {
            requests[which][i] = {entry_machine_address(va) | MMU_NORMAL_PT_UPDATE, make_pte(frames[which], kernel_rw)};
        }
    }
    return 0;
}

/// A level-1 table with `pages` entries, read-only, not pinned.
uint64_t* make_level1(unsigned pages) {
    auto* table = static_cast<uint64_t*>(alloc_page());
    for (unsigned i = 0; i < pages; ++i) {
        table[i] = make_pte(frames[i & 1], kernel_rw | pte_user);
    }
    return set_read_only(table) == 0 ? table : nullptr;
}

long prepare_trees() {
    const uint64_t* full = make_level1(table_entries);
    uint64_t* table = make_level1(tree_pages);
    if (full == nullptr || table == nullptr) {
        return -XEN_EINVAL;
    }
    full_table_mfn = virt_to_mfn(full);
    for (unsigned level = 2; level <= 4; ++level) {
        auto* above = static_cast<uint64_t*>(alloc_page());
        above[0] = make_pte(virt_to_mfn(table), table_flags);
        if (const long error = set_read_only(above); error != 0) {
            return error;
        }
        table = above;
    }
    tree_root_mfn = virt_to_mfn(table);
    return 0;
}

long prepare() {
    const long error = prepare_window();
    return error != 0 ? error : prepare_trees();
}

uint64_t va_mapping(uint64_t count) {
    return timed(count, [](uint64_t i) {
        return update_va_mapping(window, make_pte(frames[i & 1], kernel_rw), UVMF_INVLPG) == 0;
    });
}

uint64_t va_mapping_no_flush(uint64_t count) {
    return timed(count, [](uint64_t i) {
        return update_va_mapping(window, make_pte(frames[i & 1], kernel_rw), UVMF_NONE) == 0;
    });
}

template <unsigned Batch>
uint64_t mmu_batch(uint64_t count) {
    return timed(count, [](uint64_t i) { return mmu_update(requests[i & 1], Batch) == 0; });
}

uint64_t pin_unpin(uint64_t count, unsigned command, uint64_t mfn) {
    return timed(count,
                 [=](uint64_t) { return mmuext_mfn(command, mfn) == 0 && mmuext_mfn(MMUEXT_UNPIN_TABLE, mfn) == 0; });
}

uint64_t pin_unpin_l1(uint64_t count) {
    return pin_unpin(count, MMUEXT_PIN_L1_TABLE, full_table_mfn);
}

uint64_t pin_unpin_l4(uint64_t count) {
    return pin_unpin(count, MMUEXT_PIN_L4_TABLE, tree_root_mfn);
}

/// Pinning alone; the unpinning between is not counted.
uint64_t pin_l4(uint64_t count) {
    uint64_t ticks = 0;
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t begin = rdtsc();
        const long pinned = mmuext_mfn(MMUEXT_PIN_L4_TABLE, tree_root_mfn);
        ticks += rdtsc() - begin;
        if (pinned != 0 || mmuext_mfn(MMUEXT_UNPIN_TABLE, tree_root_mfn) != 0) {
            return failed;
        }
    }
    return ticks;
}

uint64_t unpin_l4(uint64_t count) {
    uint64_t ticks = 0;
    for (uint64_t i = 0; i < count; ++i) {
        if (mmuext_mfn(MMUEXT_PIN_L4_TABLE, tree_root_mfn) != 0) {
            return failed;
        }
        const uint64_t begin = rdtsc();
        const long unpinned = mmuext_mfn(MMUEXT_UNPIN_TABLE, tree_root_mfn);
        ticks += rdtsc() - begin;
        if (unpinned != 0) {
            return failed;
        }
    }
    return ticks;
}

constexpr Operation operations[] = {
    {"update_va_mapping", va_mapping},
    {"update_va_mapping_no_flush", va_mapping_no_flush},
    {"mmu_update_1", mmu_batch<1>, 1},
    {"mmu_update_16", mmu_batch<16>, 16},
    {"mmu_update_128", mmu_batch<128>, 128},
    {"pin_unpin_l1", pin_unpin_l1},
    {"pin_unpin_l4", pin_unpin_l4},
    {"pin_l4", pin_l4},
    {"unpin_l4", unpin_l4},
};

} // namespace

constinit const Group memory_group = {prepare, operations, sizeof(operations) / sizeof(operations[0])};

} // namespace parapet::guest::bench
