// SPDX-License-Identifier: Apache-2.0
// One life of a domain, from kernel file to power-off: what `parapet run` calls.
#pragma once

#include "backends/console/console_streams.hpp"
#include "backends/devices/device.hpp"
#include "backends/io/io_thread.hpp"
#include "pv-abi/doorbell.hpp"
#include "support/result.hpp"
#include "vmm/boot_source.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace parapet::vmm {

namespace control {
class ControlServer;
} // namespace control

struct DomainConfig {
    BootSource boot;
    std::optional<BootSource> boot_after_reboot; ///< what the first reboot starts, and all after it; nothing: the same
    std::string cmdline;                         ///< of this life
    std::uint64_t memory_bytes = 512ULL << 20;
    std::string name;
    std::optional<std::chrono::steady_clock::time_point> deadline;
    console::ConsoleConfig console;
    devices::DeviceFactory devices;
    std::optional<doorbell::Home> home; ///< nothing: what suits the substrate
    bool linear_page_tables = false;    ///< its page tables may name themselves, read-only
    std::uint64_t shuffle = 0;          ///< seed of the order of machine frames, for tests
    unsigned reboots = 0;
    control::ControlServer* control = nullptr; ///< serves who commands the domain by its name; nullptr: nobody may
    std::function<void()> before_confined;     ///< once, when all is open that the user named
    std::function<void()> running;             ///< at each life: the guest's first instruction runs
};

struct DomainStatistics {
    std::string substrate, home, kernel_version;
    std::optional<double> time_to_init_s; ///< host seconds from the first KVM_RUN to the guest's init marker
    std::optional<double> guest_uptime_at_init_s;
    double build_s = 0; ///< host seconds from the call to the first KVM_RUN
    double run_s = 0;
    std::map<std::string, std::uint64_t> user_exits; ///< exits to this process by reason
    std::map<std::string, std::uint64_t> kvm;        ///< KVM's own counters
    std::map<std::string, std::uint64_t> hypercalls;
    std::map<std::string, std::uint64_t> exceptions; ///< by vector
    doorbell::Counters counters{};
    std::uint64_t memory_overhead_bytes = 0; ///< of this process and the nucleus, beyond the guest's own touched pages
    std::uint64_t guest_touched_bytes = 0;
    std::uint64_t frames_released = 0;
    io::IoStatistics io;         ///< of this life
    boost::json::object devices; ///< by name, what each did
};

struct DomainResult {
    enum class End { powered_off, rebooted, crashed, timed_out, left, failed } end = End::failed;
    int exit_code = 0;   ///< powered_off: data/exit-code of the guest; left: 128 + signal, or 0
    std::string message; ///< one sentence, or empty
    std::string report;  ///< crash report, or empty
    DomainStatistics statistics;
};

[[nodiscard]] DomainResult run_domain(const DomainConfig& config);

} // namespace parapet::vmm
