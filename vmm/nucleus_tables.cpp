// SPDX-License-Identifier: Apache-2.0
#include "vmm/nucleus_tables.hpp"

#include <algorithm>

namespace parapet::vmm {

namespace {

constexpr std::uint64_t frame_mask = 0x000ffffffffff000ULL;

std::uint64_t index_of(std::uint64_t va, unsigned level) {
    return va >> (12 + 9 * (level - 1)) & 511;
}

void add_tables(const GuestRam& ram, std::uint64_t entry, unsigned level, std::vector<std::uint64_t>& found) {
    if ((entry & pte::present) == 0 || (entry & pte::large) != 0) {
        return;
    }
    const std::uint64_t mfn = (entry & frame_mask) / page_size;
    found.push_back(mfn);
    for (std::uint64_t i = 0; level > 1 && i < 512; i++) {
        add_tables(ram, ram.frame_as<std::uint64_t>(mfn)[i], level - 1, found);
    }
}

} // namespace

std::uint64_t FrameAllocator::take(std::uint64_t count) {
    constexpr unsigned attempts = 64;
    for (unsigned attempt = 0; attempt < attempts && count <= taken_.size(); attempt++) {
        const std::uint64_t at = random_() % (taken_.size() - count + 1);
        const auto begin = taken_.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = begin + static_cast<std::ptrdiff_t>(count);
        if (std::find(begin, end, true) == end) {
            std::fill(begin, end, true);
            return first_ + at;
        }
    }
    const std::uint64_t first = next_;
    next_ += count;
    return first;
}

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

void TableBuilder::map_window(std::uint64_t va, std::uint64_t first, std::uint64_t end, std::uint64_t flags) {
    for (std::uint64_t mfn = first; mfn < end;) {
        if (mfn % 512 == 0 && mfn + 512 <= end) {
            map_large(va + mfn * page_size, mfn, 1, flags);
            mfn += 512;
        } else {
            map(va + mfn * page_size, mfn, 1, flags);
            mfn++;
        }
    }
}

std::vector<std::uint64_t> TableBuilder::table_frames(std::uint64_t slot) const {
    std::vector<std::uint64_t> found;
    add_tables(ram_, this->slot(slot), 3, found);
    return found;
}

std::uint64_t TableBuilder::slot(std::uint64_t index) const {
    return ram_.frame_as<std::uint64_t>(root_)[index];
}

void TableBuilder::set_slot_flags(std::uint64_t index, std::uint64_t clear, std::uint64_t set) {
    std::uint64_t& entry = ram_.frame_as<std::uint64_t>(root_)[index];
    entry = (entry & ~clear) | set;
}

} // namespace parapet::vmm
