// SPDX-License-Identifier: Apache-2.0
// The life of `parapet run`.
#include "tools/parapet/run_loop.hpp"

#include "support/log_output.hpp"
#include "tools/parapet/boot_from_disk.hpp"
#include "tools/parapet/exit_status.hpp"
#include "tools/parapet/quantities.hpp"
#include "tools/parapet/statistics.hpp"

#include <algorithm>
#include <utility>

namespace parapet::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = DomainEnd::Kind;

void complain(const std::string& sentence) {
    log_text("parapet: " + sentence + "\n");
}

int exit_status(const DomainEnd& end) {
    switch (end.kind) {
    case Kind::powered_off:
    case Kind::left:
        return std::clamp(end.exit_code, 0, 255);
    case Kind::rebooted:
        return exit_rebooted;
    case Kind::crashed:
        return exit_crashed;
    case Kind::timed_out:
        return exit_timeout;
    case Kind::failed:
        break;
    }
    return exit_failed;
}

/// What is said about an end that speaks for itself only to programs.
std::string default_message(const RunOptions& options, Kind kind) {
    const std::string domain = "domain '" + options.name + "' ";
    switch (kind) {
    case Kind::crashed:
        return domain + "crashed";
    case Kind::rebooted:
        return domain + "rebooted and is not started again (--no-reboot)";
    case Kind::timed_out:
        return domain + "was ended by --timeout";
    case Kind::failed:
        return domain + "failed";
    case Kind::powered_off:
    case Kind::left:
        break;
    }
    return {};
}

/// Starts the domain until it ends otherwise than by a reboot.
DomainEnd live(RunOptions& options, const DomainStarter& start, Incarnation& incarnation) {
    for (;;) {
        DomainEnd end = start(options, incarnation);
        if (end.kind != Kind::rebooted || options.no_reboot) {
            return end;
        }
        if (incarnation.deadline && Clock::now() >= *incarnation.deadline) {
            end.kind = Kind::timed_out;
            end.message.clear();
            return end;
        }
        if (incarnation.reboots++ == 0) {
            reboot_options(options);
        }
        options.console.append = true;
    }
}

boost::json::object summary(const RunOptions& options, const DomainEnd& end, const Incarnation& incarnation,
                            Clock::duration took) {
    boost::json::object object{{"name", options.name},
                               {"kernel", options.kernel_label.empty() ? options.kernel : options.kernel_label},
                               {"memory_bytes", options.memory_bytes},
                               {"outcome", outcome_name(end.kind)},
                               {"exit_status", exit_status(end)},
                               {"reboots", incarnation.reboots},
                               {"seconds", std::chrono::duration<double>(took).count()}};
    if (!end.message.empty()) {
        object["message"] = end.message;
    }
    object["domain"] = end.statistics;
    return object;
}

DomainEnd fail(const Error& error) {
    return {.kind = Kind::failed, .exit_code = 0, .message = error.message, .statistics = {}};
}

} // namespace

std::string_view outcome_name(Kind kind) {
    switch (kind) {
    case Kind::powered_off:
        return "powered-off";
    case Kind::left:
        return "left";
    case Kind::rebooted:
        return "rebooted";
    case Kind::crashed:
        return "crashed";
    case Kind::timed_out:
        return "timeout";
    case Kind::failed:
        break;
    }
    return "failed";
}

int run(RunOptions options, const DomainStarter& start, const HostPaths& paths, const DomainPreparation& prepare) {
    const auto begin = Clock::now();
    std::optional<JsonSink> json;
    if (options.json) {
        auto sink = JsonSink::open(*options.json);
        if (!sink) {
            complain(sink.error().message);
            return exit_failed;
        }
        json.emplace(std::move(*sink));
    }
    Incarnation incarnation;
    if (options.timeout) {
        incarnation.deadline = begin + std::chrono::duration_cast<Clock::duration>(*options.timeout);
    }
    auto checked = check_host(options, paths);
    if (checked && prepare) {
        checked = prepare(options);
    }
    DomainEnd end = checked ? live(options, start, incarnation) : fail(checked.error());
    if (end.message.empty()) {
        end.message = default_message(options, end.kind);
    }
    if (!end.message.empty()) {
        complain(end.message);
    }
    const auto object = summary(options, end, incarnation, Clock::now() - begin);
    if (options.stats) {
        log_text(statistics_table(object));
    }
    (void)LogOutput::standard_error().flush(); // before --json writes there, too
    int status = exit_status(end);
    if (json) {
        if (const auto written = json->write(object); !written) {
            complain(written.error().message);
            status = status == exit_powered_off ? exit_failed : status;
        }
    }
    (void)LogOutput::standard_error().flush();
    return status;
}

} // namespace parapet::cli
