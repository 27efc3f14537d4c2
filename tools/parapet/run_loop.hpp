// SPDX-License-Identifier: Apache-2.0
// `parapet run` around the domain itself: checks, starting again after a reboot, the end's exit status, statistics.
#pragma once

#include "tools/parapet/host_checks.hpp"
#include "tools/parapet/options.hpp"

#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace parapet::vmm::control {
class ControlServer;
} // namespace parapet::vmm::control

namespace parapet::cli {

/// How one life of a domain ended.
struct DomainEnd {
    enum class Kind {
        powered_off,
        rebooted,
        crashed,
        timed_out, ///< The deadline passed.
        left,      ///< The user left the console, or asked the process to end.
        failed,    ///< It could not start, or the host failed.
    };
    Kind kind = Kind::failed;
    int exit_code = 0;              ///< powered_off: what the guest wrote to data/exit-code. left: 128 + signal, or 0.
    std::string message;            ///< One sentence for the user, or empty.
    boost::json::object statistics; ///< Of this life.
};

/// Which life of the domain is to be started.
struct Incarnation {
    unsigned reboots = 0; ///< Before it. From 1 on, `options.console.append` is set.
    std::optional<std::chrono::steady_clock::time_point> deadline; ///< Of all lives together.
};

using DomainStarter = std::function<DomainEnd(const RunOptions& options, const Incarnation& incarnation)>;

/// The last preparations before the first start; may settle what the options left open (the name).
using DomainPreparation = std::function<Result<void>(RunOptions& options)>;

/// Runs the domain to its end and returns the exit status. Messages and --stats go to standard error.
int run(RunOptions options, const DomainStarter& start, const HostPaths& paths = {},
        const DomainPreparation& prepare = {});

/// "powered-off", "crashed", ...
std::string_view outcome_name(DomainEnd::Kind kind);

/// How a domain is known to others while it runs; see vmm::DomainConfig.
struct DomainSurroundings {
    vmm::control::ControlServer* control = nullptr;
    std::function<void()> before_confined;
    std::function<void()> running;
};

/// The domain on this host's KVM (start_domain.cpp).
DomainEnd start_domain(const RunOptions& options, const Incarnation& incarnation,
                       const DomainSurroundings& surroundings);

} // namespace parapet::cli
