// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/memory_bounds.hpp"

#include <algorithm>
#include <string>

namespace parapet::vmm::control {

namespace {

std::string in_mib(std::uint64_t bytes) {
    return std::to_string(bytes >> 20) + "M";
}

} // namespace

std::uint64_t least_memory_target(std::uint64_t maximum_bytes) {
    constexpr std::uint64_t small = 32ULL << 20;
    constexpr std::uint64_t part = 16; // page structures alone take one 64th
    return std::min(std::max(small, maximum_bytes / part), maximum_bytes);
}

Result<void> check_memory_target(std::uint64_t bytes, std::uint64_t maximum_bytes) {
    const std::uint64_t least = least_memory_target(maximum_bytes);
    if (bytes > maximum_bytes) {
        return Error{in_mib(bytes) + " is more than the domain may own: at most " + in_mib(maximum_bytes) +
                     ", the --memory it was started with"};
    }
    if (bytes < least) {
        return Error{in_mib(bytes) + " is too little for the guest to live: at least " + in_mib(least)};
    }
    return {};
}

} // namespace parapet::vmm::control
