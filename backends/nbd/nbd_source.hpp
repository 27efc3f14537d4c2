// SPDX-License-Identifier: Apache-2.0
// A virtual disk behind the NBD helper, as backends/disk opens it: a remote NBD server, or a local image in a format
// that qemu-nbd knows.
#pragma once

#include "backends/disk/target_source.hpp"
#include "backends/nbd/channel.hpp"
#include "backends/nbd/spawn.hpp"

#include <memory>
#include <string>

namespace parapet::nbd {

class NbdSource final : public disk::TargetSource {
public:
    NbdSource(std::shared_ptr<Channel> channel, std::string kind)
        : channel_{std::move(channel)}, kind_{std::move(kind)} {}
    ~NbdSource() override; ///< Ends the helper, and waits for that a moment: then the image is free for others.

    [[nodiscard]] std::unique_ptr<disk::DiskTarget> make_target(io::IoThread& io) override;
    [[nodiscard]] std::string describe() const override { return channel_->name() + " (" + kind_ + ")"; }
    /// Before the first make_target() only.
    [[nodiscard]] devices::Handover to_handover() && override;
    /// The same as the end of the object, without keeping the thread.
    void close(boost::asio::io_context& control, std::function<void()> done) override;

private:
    std::shared_ptr<Channel> channel_;
    std::string kind_; ///< "NBD", "qcow2 through qemu-nbd"
};

/// Starts the helper. `log`: sentences while the disk is in use, on the I/O thread.
Result<std::unique_ptr<disk::TargetSource>> open_nbd(const NbdOptions& options, Channel::Log log);
Result<std::unique_ptr<disk::TargetSource>> nbd_from_handover(devices::Handover handover, Channel::Log log);

/// What backends/disk needs to know of all this.
disk::TargetKind nbd_kind(const Channel::Log& log);

} // namespace parapet::nbd
