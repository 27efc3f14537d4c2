// SPDX-License-Identifier: Apache-2.0
#include "vmm/nucleus_tables.hpp"

namespace parapet::vmm {

namespace {

constexpr std::uint64_t frame_mask = 0x000ffffffffff000ULL;

std::uint64_t index_of(std::uint64_t va, unsigned level) {
    return va >> (12 + 9 * (level - 1)) & 511;
}

} // namespace

TableBuilder::TableBuilder(const GuestRam& ram, FrameAllocator& allocator)
    : ram_{ram}, allocator_{allocator}, root_{allocator.take()} {}

/// The table of `level` (1..3) that holds the entry for va; made where missing.
std::uint64_t* TableBuilder::table_for(std::uint64_t va, unsigned level) {
    auto* table = ram_.frame_as<std::uint64_t>(root_);
    for (unsigned at = 4; at > level; at--) {
        std::uint64_t& entry = table[index_of(va, at)];
        if ((entry & pte::present) == 0) {
            entry = allocator_.take() * page_size | pte::table;
        }
        table = ram_.frame_as<std::uint64_t>((entry & frame_mask) / page_size);
    }
    return table;
}

void TableBuilder::map(std::uint64_t va, std::uint64_t mfn, std::uint64_t count, std::uint64_t flags) {
    for (std::uint64_t i = 0; i < count; i++, va += page_size) {
        table_for(va, 1)[index_of(va, 1)] = (mfn + i) * page_size | flags;
    }
}

void TableBuilder::map_large(std::uint64_t va, std::uint64_t mfn, std::uint64_t count, std::uint64_t flags) {
    for (std::uint64_t i = 0; i < count; i++, va += 512 * page_size) {
        table_for(va, 2)[index_of(va, 2)] = (mfn + i * 512) * page_size | flags | pte::large;
    }
}

void TableBuilder::set_l1(std::uint64_t va, std::uint64_t mfn) {
    table_for(va, 2)[index_of(va, 2)] = mfn * page_size | pte::table;
}

std::uint64_t TableBuilder::slot(std::uint64_t index) const {
    return ram_.frame_as<std::uint64_t>(root_)[index];
}

void TableBuilder::set_slot_flags(std::uint64_t index, std::uint64_t clear, std::uint64_t set) {
    std::uint64_t& entry = ram_.frame_as<std::uint64_t>(root_)[index];
    entry = (entry & ~clear) | set;
}

} // namespace parapet::vmm
