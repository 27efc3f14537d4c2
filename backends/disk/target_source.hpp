// SPDX-License-Identifier: Apache-2.0
// Something that was opened to hold a disk's bytes, before the process was confined: a file, a block device, a
// connection to an NBD server. It makes a target for each life of the domain, and can move to another process.
#pragma once

#include "backends/devices/device.hpp"
#include "backends/disk/disk_spec.hpp"
#include "backends/disk/disk_target.hpp"
#include "backends/io/io_thread.hpp"
#include "support/result.hpp"

#include <functional>
#include <memory>
#include <string>

namespace parapet::disk {

/// On the control thread. Outlives its targets.
class TargetSource {
public:
    virtual ~TargetSource() = default;
    /// One at a time. The target is made and destroyed on the control thread, used on the I/O thread in between, and
    /// has no request when it is destroyed. Its geometry() is known from the start.
    /// A target reports errors (-errno) and does not retry for ever: the backend does that where `on-error=wait` is
    /// set.
    [[nodiscard]] virtual std::unique_ptr<DiskTarget> make_target(io::IoThread& io) = 0;
    /// For people: "root.img (raw, direct I/O)", "nbd://host/export (NBD)".
    [[nodiscard]] virtual std::string describe() const = 0;
    /// Gives everything away: locks and connections included. `description` has a string "source" that says which
    /// TargetKind takes it back.
    [[nodiscard]] virtual devices::Handover to_handover() && = 0;
    /// As devices::DeviceSource::close().
    // NOLINTNEXTLINE(performance-unnecessary-value-param): who overrides it keeps it
    virtual void close(boost::asio::io_context& /*control*/, std::function<void()> done) { done(); }
};

/// How one kind of source is opened and taken back. "raw" is built in; NBD's is given by backends/nbd to
/// disk_source.hpp's functions.
struct TargetKind {
    std::string name; ///< "raw", "nbd": the "source" of a Handover's description
    std::function<Result<std::unique_ptr<TargetSource>>(const DiskSpec&)> open;
    /// The description is another process's word: check it.
    std::function<Result<std::unique_ptr<TargetSource>>(devices::Handover)> from_handover;
};

} // namespace parapet::disk
