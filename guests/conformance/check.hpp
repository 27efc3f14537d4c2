// SPDX-License-Identifier: Apache-2.0
// The frame of a conformance guest: it defines `test_name` and `test()`; the last line it prints is one of
//   verdict: PASS <name>      verdict: FAIL <name>: <first reason>      verdict: SKIP <name>: <reason>
// and its exit code is 0 only without a FAIL.
#pragma once

#include "guests/lib/console.hpp"
#include "guests/lib/cpu.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"
#include "guests/lib/traps.hpp"

namespace parapet::guest {

extern const char* const test_name;
void test();

/// Notes a failure where `ok` is false, and goes on. Returns `ok`.
__attribute__((format(printf, 2, 3))) bool expect(bool ok, const char* format, ...);
/// A hypercall's result against the one wanted.
bool expect_result(long got, long wanted, const char* what);
/// A frame that has another type in use: -EINVAL from older hypervisors, -EBUSY from newer ones.
bool expect_type_conflict(long got, const char* what);
/// Any -errno will do.
bool expect_refused(long got, const char* what);
/// The exception wanted (`no_trap`: none), its error code and, when not `any_address`, its cr2.
inline constexpr unsigned no_trap = ~0u;
inline constexpr uint64_t any_address = ~0ul;
bool expect_trap(const Caught& got, unsigned vector, uint64_t error_code, const char* what,
                 uint64_t address = any_address);
/// Ends the test as not applicable here.
void skip(const char* reason);

/// Table `entries` of a page made read-only, for use as a page table of our own.
[[nodiscard]] uint64_t* new_table(uint64_t first_entry = 0);
/// Somewhere in the address space where nothing is: slot 4.
inline constexpr uint64_t free_window = 0x20000000000;

} // namespace parapet::guest
