// SPDX-License-Identifier: Apache-2.0
// What the queues of one connected disk share. On the I/O thread.
#pragma once

#include "backends/disk/counters.hpp"
#include "backends/disk/disk_spec.hpp"
#include "backends/disk/disk_target.hpp"
#include "backends/disk/shared_limits.hpp"
#include "backends/io/io_thread.hpp"
#include "iorings/grants/host_grants.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace parapet::disk {

inline constexpr unsigned sector_bytes = 512; ///< the unit of all sector numbers in the ABI

struct BlockDevice {
    io::IoThread& io;
    grants::HostGrants& grants;
    DiskTarget& target;
    const DiskSpec& spec;
    Counters& counters;
    /// For the log: one sentence, without the disk's name. From the I/O thread.
    std::function<void(const std::string&)> complain;
    /// The guest broke the protocol: no queue goes on.
    std::function<void(const std::string&)> broken;

    SharedLimits limits{spec.limits};
    std::uint64_t sectors = whole_sectors(spec, target.geometry());
    unsigned block_sectors = sector_size(spec, target.geometry()) / sector_bytes; ///< requests are multiples of it
    unsigned lines = 0; ///< in the log, since `lines_since`: a guest must not fill it
    io::RateLimit::Clock::time_point lines_since{};
    unsigned waiting = 0; ///< requests that failed and are tried again

    static std::uint32_t sector_size(const DiskSpec& spec, const Geometry& geometry) {
        return std::max(spec.sector_size, geometry.logical_block);
    }
    /// Of 512 bytes, but whole sectors of the disk's own size.
    static std::uint64_t whole_sectors(const DiskSpec& spec, const Geometry& geometry) {
        const std::uint32_t size = sector_size(spec, geometry);
        return geometry.bytes / size * (size / sector_bytes);
    }
    /// Logs `what`, but not more than a few lines a minute.
    void say(const std::string& what) {
        constexpr unsigned most = 8;
        const auto now = io::RateLimit::Clock::now();
        if (now - lines_since > std::chrono::minutes{1}) {
            lines_since = now;
            lines = 0;
        }
        if (++lines <= most) {
            complain(what + (lines == most ? " (further lines are left out for a minute)" : ""));
        }
    }
    /// A line for the first request that waits, and one when none does any more: whatever else the log is told.
    void begins_to_wait(const std::string& failure) {
        if (waiting++ == 0) {
            complain(failure + "; the guest waits until it works");
        }
    }
    void waits_no_more(bool works) {
        if (--waiting == 0 && works) {
            complain("it works again, and all that waited is done");
        }
    }
};

} // namespace parapet::disk
