// SPDX-License-Identifier: Apache-2.0
// Counts afresh what every frame of a FakeVm should hold, and compares with the frame table (docs/architecture.md:
// memory invariants 1-4). Knows of table entries, pins and roots: not for tests that lend frames otherwise
// (descriptors, areas).
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "hypercall-emu/core/io_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {

struct FrameCounts {
    u64 references = 0, types = 0;
    FrameType type = FrameType::none;

    void add(FrameType wanted) {
        references++;
        if (wanted == FrameType::none)
            return;
        types++;
        type = wanted;
    }
};

inline void count_entries(FakeVm& vm, Mfn table, unsigned level, std::vector<FrameCounts>& counts) {
    for (unsigned index = 0; index < ENTRIES_PER_TABLE; index++) {
        const Pte entry = vm.machine.table(table)[index];
        const bool hole = level == 4 && index >= doorbell::HOLE_FIRST_SLOT && index <= doorbell::HOLE_LAST_SLOT;
        if (hole || !entry.present())
            continue;
        if (level == 1 && is_io_memory(vm.domain(), entry.mfn()))
            continue;
        ASSERT_LT(entry.mfn().number, counts.size());
        FrameType wanted = level > 1 ? table_type(level - 1) : FrameType::none;
        if (level == 1 && entry.writable())
            wanted = FrameType::writable;
        FrameCounts& target = counts[entry.mfn().number];
        EXPECT_TRUE(target.types == 0 || wanted == FrameType::none || target.type == wanted)
            << "frame " << entry.mfn().number << " is needed as two types";
        target.add(wanted);
    }
}

inline void expect_memory_invariants(FakeVm& vm) {
    Domain& domain = vm.domain();
    std::vector<FrameCounts> counts(domain.frames.count());
    u64 owned = 0;
    u64 free = 0;
    for (u64 number = 0; number < counts.size(); number++) {
        const Frame& frame = domain.frames[Mfn{number}];
        owned += frame.owner() == FrameOwner::domain ? 1 : 0;
        free += frame.owner() == FrameOwner::free ? 1 : 0;
        if (frame.owner() != FrameOwner::domain)
            continue;
        const auto type = static_cast<unsigned>(frame.type());
        if (frame.is(Frame::VALIDATED))
            count_entries(vm, {number}, type - static_cast<unsigned>(FrameType::l1) + 1, counts);
        if (frame.is(Frame::PINNED))
            counts[number].add(frame.type());
    }
    for (u32 i = 0; i < domain.nr_vcpus; i++) {
        for (const Mfn root : {domain.vcpus[i]->kernel_root, domain.vcpus[i]->user_root}) {
            if (root != NO_MFN)
                counts[root.number].add(FrameType::l4);
        }
    }
    EXPECT_EQ(owned, domain.nr_pages);
    EXPECT_EQ(free, domain.nr_free);
    u64 listed = 0;
    for (u64 number = domain.free_head; number != ~0ULL && listed <= free; listed++) {
        ASSERT_EQ(domain.frames[Mfn{number}].owner(), FrameOwner::free);
        const u64 link = domain.frames[Mfn{number}].word & Frame::FREE_LINK_MASK;
        number = link == Frame::FREE_END ? ~0ULL : link;
    }
    EXPECT_EQ(listed, free);
    for (u64 number = 0; number < counts.size(); number++) {
        const Frame& frame = domain.frames[Mfn{number}];
        const FrameCounts& wanted = counts[number];
        if (frame.owner() == FrameOwner::free || frame.owner() == FrameOwner::nobody) {
            ASSERT_EQ(wanted.references, 0u) << "frame " << number << " is mapped and not the domain's";
            continue;
        }
        ASSERT_EQ(frame.references(), wanted.references) << "frame " << number;
        ASSERT_EQ(frame.type_count(), wanted.types) << "frame " << number;
        if (wanted.types != 0) {
            ASSERT_EQ(frame.type(), wanted.type) << "frame " << number;
        }
        EXPECT_FALSE(frame.is(Frame::LOCKED)) << "frame " << number;
    }
}

} // namespace parapet::nucleus::test
