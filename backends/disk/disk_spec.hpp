// SPDX-License-Identifier: Apache-2.0
// What the user says of a virtual disk: xl's disk syntax (xl-disk-configuration(5)), positional
// (target,format,vdev,access) and by keyword, with further keywords of ours. docs/devices.md lists them.
#pragma once

#include "backends/disk/vdev.hpp"
#include "support/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace parapet::disk {

enum class Format : std::uint8_t { raw, qcow, qcow2, qed, vhd, vhdx, vmdk, vdi };
enum class Cache : std::uint8_t { direct, buffered };
/// What the guest gets of a failed operation: the error, or patience (it is tried again until it works).
enum class OnError : std::uint8_t { report, wait };

/// 0: no limit; a burst of 0: what goes in a tenth of a second.
struct DiskLimits {
    std::uint64_t iops = 0, iops_burst = 0;
    std::uint64_t bytes_per_second = 0, bytes_burst = 0;

    bool operator==(const DiskLimits&) const = default;
};

struct DiskSpec {
    std::string target;             ///< path, or URI of an NBD server (nbd://, nbds://, nbd+unix://, nbds+unix://)
    std::optional<Format> format;   ///< nothing: not said
    std::optional<VdevNumber> vdev; ///< nothing: the next free xvdX
    bool read_only = false;
    bool removable = false;
    bool cdrom = false;
    std::optional<bool> discard; ///< nothing: as the target can
    bool direct_io_safe = false;
    std::uint32_t sector_size = 512; ///< 512 or 4096: of the virtual disk
    DiskLimits limits;
    OnError on_error = OnError::report;
    Cache cache = Cache::direct;
    unsigned queues = 4;     ///< the most that the guest may use
    bool persistent = false; ///< offer persistent grants

    bool operator==(const DiskSpec&) const = default;

    /// The target is a URI of an NBD server.
    [[nodiscard]] bool is_remote() const;
    /// Served through NBD: a remote target, or a local one in a format other than raw.
    [[nodiscard]] bool needs_nbd() const { return is_remote() || format.value_or(Format::raw) != Format::raw; }
};

/// A whole specification. The error names the part that is wrong.
Result<DiskSpec> parse_disk_spec(std::string_view text);

/// The same by keywords alone: parse_disk_spec() gives the specification back.
std::string disk_spec_text(const DiskSpec& spec);

/// "raw", "qcow2", "vpc" (vhd), ...: as qemu-nbd spells them; `format=` takes these too.
const char* format_name(Format format);

} // namespace parapet::disk
