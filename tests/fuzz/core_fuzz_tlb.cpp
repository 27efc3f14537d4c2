// SPDX-License-Identifier: Apache-2.0
// The model of the TLBs; see core_fuzz_tlb.hpp.
#include "tests/fuzz/core_fuzz_tlb.hpp"

#include <algorithm>

namespace parapet::nucleus::fuzz {

void TlbModel::Cache::clear() {
    std::fill(writable.begin(), writable.end(), u8{0});
    std::fill(table.begin(), table.end(), u8{0});
}

TlbModel::TlbModel(World& world) : world_{world} {}

void TlbModel::reset() {
    caches_.resize(world_.domain().nr_vcpus);
    for (u32 id = 0; id < caches_.size(); id++) {
        caches_[id].writable.resize(world_.nr_frames());
        caches_[id].table.resize(world_.nr_frames());
        caches_[id].clear();
        caches_[id].root = world_.vm.vcpu(id).current_root();
    }
    check_and_fill();
}

void TlbModel::stored(Pte* slot, Pte value) {
    const u64 table = static_cast<u64>(reinterpret_cast<u8*>(slot) - world_.vm.machine.directmap) >> PAGE_SHIFT;
    const u64 target = value.mfn().number;
    if (table >= world_.nr_frames() || target >= world_.nr_frames() || !value.present() || !value.writable())
        return;
    const Frame frame = world_.domain().frames[Mfn{table}];
    if (frame.owner() != FrameOwner::domain || frame.type() != FrameType::l1 || !frame.is(Frame::VALIDATED))
        return;
    for (Cache& cache : caches_)
        cache.writable[target] = 1;
}

void TlbModel::leave(u32 vcpu, const ExitWork& work) {
    Cache& cache = caches_[vcpu];
    const u64 root = world_.vm.vcpu(vcpu).current_root();
    if ((work.flags & ExitWork::FLUSH_TLB) != 0 || root != cache.root)
        cache.clear();
    cache.root = root;
}

void TlbModel::check_and_fill() {
    const Domain& domain = world_.domain();
    for (u64 number = 0; number < world_.nr_frames(); number++) {
        const Frame frame = domain.frames[Mfn{number}];
        const bool is_table = frame.owner() == FrameOwner::domain && frame.is(Frame::VALIDATED);
        for (const Cache& cache : caches_) {
            if (cache.writable[number] != 0)
                require((frame.owner() == FrameOwner::domain &&
                         (frame.type() == FrameType::none || frame.type() == FrameType::writable)) ||
                            frame.owner() == FrameOwner::shared,
                        "a TLB may hold a writable mapping of it", number, frame.word);
            if (cache.table[number] != 0)
                require(is_table && static_cast<u8>(frame.type()) == cache.table[number],
                        "a paging-structure cache may hold it as a table", number, frame.word, cache.table[number]);
        }
    }
    for (u64 number = 0; number < world_.nr_frames(); number++) {
        const Frame frame = domain.frames[Mfn{number}];
        if (frame.owner() != FrameOwner::domain || !frame.is(Frame::VALIDATED))
            continue;
        for (Cache& cache : caches_)
            cache.table[number] = static_cast<u8>(frame.type());
        if (frame.type() != FrameType::l1)
            continue;
        const u64* entries = world_.words(number);
        for (unsigned index = 0; index < ENTRIES_PER_TABLE; index++) {
            const Pte entry{entries[index]};
            if (!entry.present() || !entry.writable() || entry.mfn().number >= world_.nr_frames())
                continue;
            for (Cache& cache : caches_)
                cache.writable[entry.mfn().number] = 1;
        }
    }
}

} // namespace parapet::nucleus::fuzz
