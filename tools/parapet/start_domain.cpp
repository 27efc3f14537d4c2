// SPDX-License-Identifier: Apache-2.0
// From the command's options to the vmm's domain, and from its end back.
#include "support/log_output.hpp"
#include "tools/parapet/boot_from_disk.hpp"
#include "tools/parapet/devices.hpp"
#include "tools/parapet/run_loop.hpp"
#include "vmm/domain.hpp"
#include "vmm/names.hpp"

#include <cstdlib>

namespace parapet::cli {

namespace {

using vmm::DomainResult;

DomainEnd::Kind kind_of(DomainResult::End end) {
    switch (end) {
    case DomainResult::End::powered_off:
        return DomainEnd::Kind::powered_off;
    case DomainResult::End::rebooted:
        return DomainEnd::Kind::rebooted;
    case DomainResult::End::crashed:
        return DomainEnd::Kind::crashed;
    case DomainResult::End::timed_out:
        return DomainEnd::Kind::timed_out;
    case DomainResult::End::left:
        return DomainEnd::Kind::left;
    case DomainResult::End::failed:
        break;
    }
    return DomainEnd::Kind::failed;
}

boost::json::object counts(const std::map<std::string, std::uint64_t>& values) {
    boost::json::object object;
    for (const auto& [name, value] : values) {
        if (value != 0) {
            object[name] = value;
        }
    }
    return object;
}

boost::json::object statistics_of(const vmm::DomainStatistics& from) {
    boost::json::object object{{"substrate", from.substrate}, {"home", from.home}};
    if (!from.kernel_version.empty()) {
        object["kernel_version"] = from.kernel_version;
    }
    if (from.time_to_init_s) {
        object["time_to_init_s"] = *from.time_to_init_s;
    }
    if (from.guest_uptime_at_init_s) {
        object["guest_uptime_at_init_s"] = *from.guest_uptime_at_init_s;
    }
    object["build_s"] = from.build_s;
    object["run_s"] = from.run_s;
    object["memory_overhead_bytes"] = from.memory_overhead_bytes;
    object["guest_touched_bytes"] = from.guest_touched_bytes;
    object["frames_released"] = from.frames_released;
    object["io"] = {{"system_calls", from.io.enters},
                    {"operations", from.io.submitted},
                    {"operations_on_registered_memory", from.io.fixed},
                    {"doorbells", from.io.doorbells},
                    {"interrupts", from.io.signals}};
    object["devices"] = from.devices;
    object["exits"] = counts(from.user_exits);
    object["kvm"] = counts(from.kvm);
    boost::json::object hypercalls;
    for (unsigned number = 0; number < 64; number++) {
        if (from.counters.hypercalls[number] != 0) {
            hypercalls[vmm::hypercall_name(number)] = from.counters.hypercalls[number];
        }
    }
    object["hypercalls"] = std::move(hypercalls);
    boost::json::object exceptions;
    for (unsigned vector = 0; vector < 32; vector++) {
        if (from.counters.exceptions[vector] != 0) {
            exceptions[vmm::exception_name(vector)] = from.counters.exceptions[vector];
        }
    }
    object["exceptions"] = std::move(exceptions);
    object["nucleus"] = {{"interrupts", from.counters.interrupts},
                         {"upcalls", from.counters.upcalls},
                         {"blocks", from.counters.blocks},
                         {"page_table_traps", from.counters.ptwr},
                         {"emulated_instructions", from.counters.emulated},
                         {"system_calls", from.counters.syscalls}};
    return object;
}

vmm::BootSource boot_source(const RunOptions& options) {
    return {options.kernel, options.kernel_label, options.initrds};
}

vmm::DomainConfig config_from(const RunOptions& options, const Incarnation& incarnation,
                              const DomainSurroundings& surroundings) {
    vmm::DomainConfig config;
    config.control = surroundings.control;
    config.before_confined = surroundings.before_confined;
    config.running = surroundings.running;
    config.boot = boot_source(options);
    if (const auto next = options_after_reboot(options)) {
        config.boot_after_reboot = boot_source(*next);
    }
    config.cmdline = options.cmdline;
    config.linear_page_tables = options.linear_page_tables;
    config.memory_bytes = options.memory_bytes;
    config.name = options.name;
    config.deadline = incarnation.deadline;
    config.console = options.console;
    config.devices = device_factory(options);
    config.reboots = incarnation.reboots;
    if (options.home != Home::automatic) {
        config.home = options.home == Home::ring3 ? doorbell::Home::ring3 : doorbell::Home::ring0;
    }
    if (const char* seed = std::getenv("PARAPET_SHUFFLE")) {
        config.shuffle = std::strtoull(seed, nullptr, 0);
    }
    return config;
}

} // namespace

DomainEnd start_domain(const RunOptions& options, const Incarnation& incarnation,
                       const DomainSurroundings& surroundings) {
    DomainResult result = vmm::run_domain(config_from(options, incarnation, surroundings));
    if (!result.report.empty()) {
        log_text(result.report);
    }
    return {.kind = kind_of(result.end),
            .exit_code = result.exit_code,
            .message = result.message,
            .statistics = statistics_of(result.statistics)};
}

} // namespace parapet::cli
