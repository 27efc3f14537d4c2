// SPDX-License-Identifier: Apache-2.0
// What a hostile guest puts into registers and memory: mostly what may work, at the edges, and anything at all.
#pragma once

#include "tests/fuzz/core_fuzz_world.hpp"

namespace parapet::nucleus::fuzz {

struct Call {
    u64 number = 0;
    u64 a[6]{};
};

/// Draws values from a record, for the state that the world is in.
class Values {
public:
    Values(World& world, Record& record) : world_{world}, record_{record} {}

    [[nodiscard]] u64 play_page() { return PLAY + record_.below(PLAY_PAGES); }
    [[nodiscard]] u64 play_mfn();    ///< a frame that may become anything
    [[nodiscard]] u64 any_mfn();     ///< any frame number, of the nucleus or beyond the end too
    [[nodiscard]] u64 entry_flags(); ///< low bits of a page-table entry, and NX
    [[nodiscard]] u64 entry() { return any_mfn() << PAGE_SHIFT | entry_flags(); }
    [[nodiscard]] u64 index();   ///< of a table entry: the first, the last, around the hole
    [[nodiscard]] u64 address(); ///< guest virtual
    [[nodiscard]] u64 any();
    [[nodiscard]] u64 domid();
    [[nodiscard]] u64 port() { return record_.chance(220) ? record_.below(12) : record_.word(); }

    /// Put a hypercall's argument into the guest's memory; its address, or now and then another.
    u64 place(const void* from, size_t bytes);
    template <typename T>
    u64 argument(const T& object) {
        return place(&object, sizeof object);
    }

private:
    World& world_;
    Record& record_;
    u64 argument_page_ = ARGS, argument_offset_ = 0;
};

/// One hypercall of any kind.
[[nodiscard]] Call any_call(World& world, Values& values, Record& record);

// The grammar, by kind (core_fuzz_memory_calls.cpp, core_fuzz_grant_calls.cpp, core_fuzz_cpu_calls.cpp).
[[nodiscard]] Call update_va_mapping_call(World& world, Values& values, Record& record);
[[nodiscard]] Call mmu_update_call(Values& values, Record& record);
[[nodiscard]] Call mmuext_call(World& world, Values& values, Record& record);
[[nodiscard]] Call memory_op_call(Values& values, Record& record);
[[nodiscard]] Call grant_call(World& world, Values& values, Record& record);
[[nodiscard]] Call descriptor_call(World& world, Values& values, Record& record);
[[nodiscard]] Call vcpu_call(World& world, Values& values, Record& record);
[[nodiscard]] Call event_call(Values& values, Record& record);
[[nodiscard]] Call physdev_call(Values& values, Record& record);
[[nodiscard]] Call callback_call(World& world, Values& values, Record& record);
[[nodiscard]] Call sched_call(World& world, Values& values, Record& record);
[[nodiscard]] Call trap_table_call(World& world, Values& values, Record& record);
[[nodiscard]] Call small_call(World& world, Values& values, Record& record);

} // namespace parapet::nucleus::fuzz
