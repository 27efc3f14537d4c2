// SPDX-License-Identifier: Apache-2.0
// Counts afresh what every frame of a FakeVm should hold, and compares with the frame table (docs/architecture.md:
// memory invariants 1-4): table entries, pins, roots, descriptor windows, registered areas, rings, grants mapped for
// devices. The random tests ask after each step, and so does the fuzzer of the core.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {

/// What is broken, a line each; empty: nothing.
[[nodiscard]] std::vector<std::string> memory_violations(FakeVm& vm);

inline void expect_memory_invariants(FakeVm& vm) {
    for (const std::string& violation : memory_violations(vm))
        ADD_FAILURE() << violation;
}

} // namespace parapet::nucleus::test
