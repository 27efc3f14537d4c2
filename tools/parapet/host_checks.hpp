// SPDX-License-Identifier: Apache-2.0
// What can be known to fail before anything is built: files that cannot be read, memory that the host lacks, no KVM.
#pragma once

#include "support/result.hpp"
#include "tools/parapet/options.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace parapet::cli {

/// Where to look; tests put their own.
struct HostPaths {
    std::string kvm = "/dev/kvm";
    std::string meminfo = "/proc/meminfo";
};

struct HostMemory {
    std::uint64_t total = 0;     ///< Bytes of RAM and swap.
    std::uint64_t available = 0; ///< Bytes that can be had without swapping.
};

/// From /proc/meminfo's text; nothing if it lacks a line.
std::optional<HostMemory> parse_meminfo(const std::string& text);

/// The first thing that stands in the way, as one sentence with its remedy.
Result<void> check_host(const RunOptions& options, const HostPaths& paths = {});

} // namespace parapet::cli
