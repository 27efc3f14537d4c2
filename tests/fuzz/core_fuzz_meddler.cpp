// SPDX-License-Identifier: Apache-2.0
// What happens under the core's hands; see core_fuzz_meddler.hpp.
#include "tests/fuzz/core_fuzz_meddler.hpp"

#include "tests/fuzz/core_fuzz_values.hpp"

namespace parapet::nucleus::fuzz {

void Meddler::plan(Record& record) {
    act_ = Act::nothing;
    acted_ = false;
    const u8 kind = record.byte();
    if (kind >= 72)
        return;
    constexpr Act ACTS[] = {Act::write_there,     Act::write_there, Act::write_there, Act::write_elsewhere,
                            Act::write_elsewhere, Act::interrupt,   Act::interrupt,   Act::take_grant,
                            Act::end_grant,       Act::mark};
    Values values{world_, record};
    act_ = ACTS[kind % std::size(ACTS)];
    after_ = record.below(24);
    value_ = record.chance(100) ? values.entry() : values.any();
    elsewhere_ = record.chance(60) ? test::FakeVm::POOL_FIRST_MFN + record.below(6) : values.any_mfn();
    offset_ = record.byte();
    constexpr u8 WIDTHS[] = {1, 2, 4, 8, 8, 8};
    width_ = record.one_of(WIDTHS);
}

void Meddler::begin() {
    reads_ = 0;
    last_ = nullptr;
    active_ = true;
}

void Meddler::before_read(u8* at, size_t bytes) {
    if (busy_)
        return;
    // After the planned read is done: that is when the next one begins.
    if (active_ && act_ != Act::nothing && act_ != Act::mark && reads_ == after_ + 1)
        act();
    reads_++;
    last_ = at;
    last_bytes_ = bytes;
}

void Meddler::before_replace(Pte* slot) {
    if (!active_ || act_ != Act::mark || acted_)
        return;
    acted_ = true;
    if ((slot->raw & Pte::PRESENT) != 0)
        slot->raw |= Pte::ACCESSED | ((value_ & 1) != 0 && slot->writable() ? Pte::DIRTY : 0);
}

void Meddler::act() {
    busy_ = true;
    acted_ = true;
    switch (act_) {
    case Act::write_there: {
        const u64 from = static_cast<u64>(last_ - world_.vm.machine.directmap);
        const u64 at = from + offset_ % (last_bytes_ == 0 ? 1 : last_bytes_) / width_ * width_;
        world_.put(at >> PAGE_SHIFT, at & (PAGE_SIZE - 1), &value_, width_);
        break;
    }
    case Act::write_elsewhere:
        world_.put(elsewhere_, offset_ * 8 % PAGE_SIZE, &value_, width_);
        break;
    case Act::interrupt:
        __atomic_fetch_or(&world_.vcpu().irq_bits, 1u << (value_ % 3), __ATOMIC_SEQ_CST);
        break;
    case Act::take_grant:
        take_grant(world_, static_cast<u32>(offset_ % 16), (value_ & 1) != 0);
        break;
    case Act::end_grant:
        end_grant(world_, value_);
        break;
    default:
        break;
    }
    act_ = Act::nothing;
    busy_ = false;
}

void take_grant(World& world, u32 reference, bool write) {
    if (world.leases.size() >= 8)
        return;
    grants::Lease lease;
    const auto access = write ? grants::GrantAccess::write : grants::GrantAccess::read;
    if (world.host->take(grants::GrantRef{reference}, access, lease) == grants::GrantStatus::okay)
        world.leases.push_back(lease);
}

void end_grant(World& world, u64 which) {
    if (world.leases.empty())
        return;
    const auto at = world.leases.begin() + static_cast<std::ptrdiff_t>(which % world.leases.size());
    world.host->give_back(*at);
    world.leases.erase(at);
}

void write_leased_frames(World& world, u8 value) {
    for (const grants::Lease& lease : world.leases) {
        if (lease.access != grants::GrantAccess::write)
            continue;
        const Frame frame = world.domain().frames[Mfn{lease.mfn}];
        require(frame.host_may_write(), "the host would write a frame that it may not", lease.mfn, frame.word);
        std::memset(lease.page + lease.first, value, lease.end - lease.first);
    }
}

} // namespace parapet::nucleus::fuzz
