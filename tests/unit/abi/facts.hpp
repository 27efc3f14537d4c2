// SPDX-License-Identifier: Apache-2.0
// A fact of the ABI as one side states it: the size, place and sign of a field, or the value of a constant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace parapet::abi_test {

struct LayoutFact {
    std::string name; // "start_info" or "start_info.console.domU.mfn"
    uint32_t size;
    uint32_t offset;
    uint32_t is_signed;
};

struct ConstantFact {
    std::string name;
    int64_t value;
};

// What pv-abi/ states, in the tables' order, for guests of this many bits (64, 32).
template <unsigned bits>
std::vector<LayoutFact> our_layout();
template <unsigned bits>
std::vector<ConstantFact> our_constants();

} // namespace parapet::abi_test
