// SPDX-License-Identifier: Apache-2.0
// The network backend: xen-netback's protocol (xen/include/public/io/netif.h) between a guest's rings and an endpoint.
//
//   guest's netfront        this                                          endpoint
//   tx ring  ─ packets ──▶  TxQueue: check, lease pages, copy headers ──▶ send()     tap, passt, another domain
//            ◀─ answers ──           when it has left
//   rx ring  ─ pages ────▶  RxQueue: lease pages, read into them      ◀── receive()
//            ◀─ frames ───
//
// NetBackend is the control thread's half; VifConnection, of one connection, is the I/O thread's.
#pragma once

#include "backends/devices/device.hpp"
#include "backends/net/counters.hpp"
#include "backends/net/endpoint.hpp"
#include "backends/net/vif_connection.hpp"
#include "backends/net/vif_spec.hpp"

#include <functional>
#include <future>
#include <memory>
#include <vector>

namespace parapet::net {

class NetBackend final : public devices::DeviceBackend {
public:
    /// All outlive it.
    NetBackend(const devices::BackendContext& context, const VifSpec& spec, unsigned id, Endpoint& endpoint);
    ~NetBackend() override; ///< Lets go of a connection that is still there.

    xenbus::Nodes offer() override;
    Result<xenbus::Nodes> connect(const xenbus::FrontendNodes& frontend) override;
    void disconnect(std::function<void()> done) override;
    [[nodiscard]] xenbus::Nodes frontend_nodes() const override;
    [[nodiscard]] xenbus::Nodes backend_nodes() const override;
    [[nodiscard]] boost::json::object statistics() const override;

private:
    void close();
    Result<std::vector<QueueNodes>> read_queues(const xenbus::FrontendNodes& frontend) const;
    [[nodiscard]] VifConnection::Events events();
    template <typename Word, typename What>
    [[nodiscard]] std::function<void(Word)> on_control(What what) const;

    devices::BackendContext context_;
    VifSpec spec_;
    unsigned id_;
    Endpoint& endpoint_;
    std::shared_ptr<VifCounters> counters_ = std::make_shared<VifCounters>();
    std::shared_ptr<VifConnection> connection_;
    std::vector<std::function<void()>> waiting_;                 ///< for the end of a connection that is being closed
    std::future<void> closed_;                                   ///< of the latest one, on the I/O thread
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< of the control thread
};

} // namespace parapet::net
