// SPDX-License-Identifier: Apache-2.0
// What the queues of one connected disk share. On the I/O thread.
#pragma once

#include "backends/disk/counters.hpp"
#include "backends/disk/disk_spec.hpp"
#include "backends/disk/disk_target.hpp"
#include "backends/disk/shared_limits.hpp"
#include "backends/io/io_thread.hpp"
#include "iorings/grants/host_grants.hpp"
#include "support/line_limit.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace parapet::disk {

inline constexpr unsigned sector_bytes = 512;         ///< the unit of all sector numbers in the ABI
inline constexpr unsigned most_lines_in_a_minute = 8; ///< in the log, of a disk's failures

struct BlockDevice {
    io::IoThread& io;
    grants::HostGrants& grants;
    DiskTarget& target;
    const DiskSpec& spec;
    Counters& counters;
    /// For the log: one sentence, without the disk's name. From the I/O thread.
    std::function<void(std::string_view)> complain;
    /// The guest broke the protocol: no queue goes on.
    std::function<void(const std::string&)> broken;

    SharedLimits limits{spec.limits};
    std::uint64_t sectors = whole_sectors(spec, target.geometry());
    unsigned block_sectors = sector_size(spec, target.geometry()) / sector_bytes; ///< requests are multiples of it
    /// The same for what the guest may bring about again and again.
    LineLimit say{complain, most_lines_in_a_minute};
    unsigned waiting = 0; ///< requests that failed and are tried again

    static std::uint32_t sector_size(const DiskSpec& spec, const Geometry& geometry) {
        return std::max(spec.sector_size, geometry.logical_block);
    }
    /// Of 512 bytes, but whole sectors of the disk's own size.
    static std::uint64_t whole_sectors(const DiskSpec& spec, const Geometry& geometry) {
        const std::uint32_t size = sector_size(spec, geometry);
        return geometry.bytes / size * (size / sector_bytes);
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
