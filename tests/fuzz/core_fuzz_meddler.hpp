// SPDX-License-Identifier: Apache-2.0
// Whoever acts while the core is at work: another vCPU of the guest or a device that writes memory between two reads of
// the core, an interrupt, the processor that marks a page-table entry, the host that begins or ends the use of a grant.
#pragma once

#include "tests/fuzz/core_fuzz_world.hpp"

namespace parapet::nucleus::fuzz {

class Meddler {
public:
    explicit Meddler(World& world) : world_{world} {}

    /// Plan what happens during the next entry.
    void plan(Record& record);
    /// The core is entered: from now on the plan runs.
    void begin();
    /// The core has returned: what has not happened will not.
    void end() { active_ = false; }

    /// The core is about to read here.
    void before_read(u8* at, size_t bytes);
    /// The core is about to compare this entry.
    void before_replace(Pte* slot);

    /// Reads of this entry so far, and whether the plan changed anything.
    [[nodiscard]] u64 reads() const { return reads_; }
    [[nodiscard]] bool acted() const { return acted_; }

private:
    enum class Act : u8 { nothing, write_there, write_elsewhere, interrupt, take_grant, end_grant, mark };
    void act();

    World& world_;
    Act act_ = Act::nothing;
    u64 after_ = 0; ///< reads
    u64 value_ = 0, elsewhere_ = 0, offset_ = 0;
    u8 width_ = 8;
    bool active_ = false, acted_ = false, busy_ = false;
    u64 reads_ = 0;
    u8* last_ = nullptr; ///< what was read last
    size_t last_bytes_ = 0;
};

// The host's side of grants, between entries too.
void take_grant(World& world, u32 reference, bool write);
void end_grant(World& world, u64 which);
/// Let the host write all frames that it may write by now.
void write_leased_frames(World& world, u8 value);

} // namespace parapet::nucleus::fuzz
