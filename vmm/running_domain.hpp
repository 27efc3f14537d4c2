// SPDX-License-Identifier: Apache-2.0
// A domain while it runs: its VM, its connections to the host, and the loop that serves them.
#pragma once

#include "backends/console/console_backend.hpp"
#include "backends/console/terminal.hpp"
#include "iorings/grants/host_grants.hpp"
#include "iorings/xenstore/connection.hpp"
#include "iorings/xenstore/ring_transport.hpp"
#include "vmm/control/control_server.hpp"
#include "vmm/control/domain_life.hpp"
#include "vmm/device_manager.hpp"
#include "vmm/domain.hpp"
#include "vmm/domain_builder.hpp"
#include "vmm/domain_sources.hpp"
#include "vmm/init_marker.hpp"
#include "vmm/port_mailbox.hpp"
#include "vmm/requests.hpp"
#include "vmm/sandbox.hpp"
#include "vmm/store_service.hpp"
#include "vmm/uuid.hpp"
#include "vmm/vcpu_thread.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <atomic>
#include <exception>
#include <optional>

namespace parapet::vmm {

inline constexpr std::uint32_t guest_domid = 1;
inline constexpr std::uint32_t store_port = 1;
inline constexpr std::uint32_t console_port = 2;

/// Everything that lives as long as one domain runs. Members are destroyed in reverse order: threads and backends
/// first.
class RunningDomain : private control::DomainLife {
public:
    RunningDomain(const DomainConfig& config, GuestRam ram, NucleusPlace place, BuiltDomain built, KvmVm vm,
                  KvmVcpu vcpu)
        : config_{config}, ram_{std::move(ram)}, place_{place}, built_{built}, vm_{std::move(vm)}, vcpu_{std::move(
                                                                                                       vcpu)} {}

    /// Connect store, console, doorbell and devices.
    Result<void> connect(const Uuid& uuid, DomainSources& sources);
    /// Run to the end.
    DomainResult run();
    [[nodiscard]] SandboxNeeds sandbox_needs() const;
    /// Operations of its devices are still under way: it may never be destroyed.
    [[nodiscard]] bool stuck() const { return stuck_; }

private:
    Result<void> connect_doorbell();
    Result<void> connect_store(const Uuid& uuid);
    void connect_console(std::shared_ptr<console::ConsoleStreams> streams);
    Result<void> connect_devices(DomainSources& sources);
    void begin_io();
    [[nodiscard]] bool end_io();
    void wait_for_signals();
    void end_by_signal(int signal);
    [[nodiscard]] bool guest_heeds_shutdown(std::string_view how = "poweroff") const;
    void shut_down_by_guest(int signal);
    void on_port(std::uint32_t port);
    void start(std::optional<control::ControlServer::Serving>& serving);
    void fail(const std::exception& error);
    void end(DomainResult::End how, int exit_code, std::string message, std::string report = {});
    void on_stop(const DomainStop& stop);
    void fill_statistics();

    // What the control socket asks: running_domain_control.cpp.
    [[nodiscard]] control::LifeFacts facts() const override;
    Result<void> ask_shutdown(std::string_view how) override;
    void destroy() override;
    Result<void> set_memory_target(std::uint64_t bytes) override;
    std::size_t type(std::span<const char> bytes) override;
    [[nodiscard]] control::DeviceControl* devices() override { return devices_ ? &*devices_ : nullptr; }

    const DomainConfig& config_;
    GuestRam ram_;
    NucleusPlace place_;
    BuiltDomain built_;
    KvmVm vm_;
    KvmVcpu vcpu_;
    UniqueFd doorbell_fd_, interrupt_fd_;

    boost::asio::io_context io_{1};
    std::optional<boost::asio::signal_set> signals_;
    std::optional<boost::asio::steady_timer> deadline_, shutdown_patience_;
    std::optional<PortMailbox> ports_;
    xenstore::Store store_;
    std::optional<xenstore::Connection> connection_;
    std::optional<xenstore::RingTransport> store_ring_;
    std::optional<StoreService> store_service_;
    std::shared_ptr<console::ConsoleStreams> streams_;
    std::optional<console::Terminal> terminal_;
    std::optional<console::ConsoleBackend> console_;
    InitMarker marker_;
    io::IoThread* io_thread_ = nullptr; ///< DomainSources'
    io::IoStatistics io_before_;        ///< what it did in earlier lives
    std::optional<grants::HostGrants> grants_;
    std::optional<DeviceManager> devices_;
    std::optional<RequestServer> requests_;
    std::optional<VcpuThread> thread_;
    std::array<std::atomic<bool>, console_port + 1> kicked_{}; ///< by port: on_port() is due
    DomainResult result_;
    bool ended_ = false;
    bool stuck_ = false;
    bool shutting_down_ = false;  ///< the guest was asked by a signal to power off
    bool shutdown_asked_ = false; ///< it was asked by the control socket
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

} // namespace parapet::vmm
