// SPDX-License-Identifier: Apache-2.0
// The xenbus driver of a virtual disk: offers what it can, attaches to the rings that the frontend names, lets go.
// What it offers follows Linux' drivers/block/xen-blkback/xenbus.c; the nodes are described in xen/io/blkif.h.
//
// Its methods are the control thread's. The queues live on the I/O thread, between connect() and the end of
// disconnect().
#pragma once

#include "backends/devices/device.hpp"
#include "backends/disk/block_device.hpp"
#include "backends/disk/block_queue.hpp"
#include "backends/disk/counters.hpp"
#include "backends/disk/disk_spec.hpp"
#include "backends/disk/disk_target.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace parapet::disk {

class BlockBackend final : public devices::DeviceBackend {
public:
    /// `spec` (with its vdev set) outlives the backend. `params`: how the target is called in xenstore.
    BlockBackend(const devices::BackendContext& context, const DiskSpec& spec, std::unique_ptr<DiskTarget> target,
                 std::string params);
    /// Precondition: not connected.
    ~BlockBackend() override = default;

    xenbus::Nodes offer() override;
    Result<xenbus::Nodes> connect(const xenbus::FrontendNodes& frontend) override;
    void disconnect(std::function<void()> done) override;
    void abandon() override;
    [[nodiscard]] xenbus::Nodes frontend_nodes() const override;
    [[nodiscard]] xenbus::Nodes backend_nodes() const override;
    [[nodiscard]] boost::json::object statistics() const override;

private:
    /// What the frontend wants, as far as its nodes say: checked, nothing taken.
    struct Wanted {
        struct Queue {
            std::vector<grants::GrantRef> ring;
            std::uint32_t port = 0;
        };
        std::vector<Queue> queues;
        Protocol protocol = Protocol::x86_64;
        bool persistent = false;
    };
    [[nodiscard]] Result<Wanted> read_frontend(const xenbus::FrontendNodes& frontend) const;
    [[nodiscard]] static Result<Wanted::Queue> read_queue(const xenbus::FrontendNodes& frontend,
                                                          const std::string& prefix,
                                                          std::optional<std::uint64_t> page_order);
    [[nodiscard]] xenbus::Nodes geometry_nodes() const;
    /// Runs `what` on the control thread, if the backend is still there then.
    void on_control(std::function<void()> what);

    // On the I/O thread.
    Result<void> attach(const Wanted& wanted);
    void queue_drained();
    void geometry_changed();

    devices::BackendContext context_;
    const DiskSpec& spec_;
    std::string name_, params_;
    std::unique_ptr<DiskTarget> target_;
    Counters counters_;
    bool connected_ = false;
    unsigned nr_queues_ = 0;
    std::vector<std::function<void()>> waiting_; ///< for the end of a disconnect() under way
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

    // Of the I/O thread.
    std::unique_ptr<BlockDevice> device_;
    std::vector<std::unique_ptr<BlockQueue>> queues_;
    std::size_t draining_ = 0;
    bool broken_ = false;
};

} // namespace parapet::disk
