// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/run_command.hpp"

#include "tools/parapet/background.hpp"
#include "tools/parapet/boot_from_disk.hpp"
#include "tools/parapet/exit_status.hpp"
#include "tools/parapet/run_loop.hpp"
#include "vmm/control/control_server.hpp"
#include "vmm/control/name_claim.hpp"

#include <cstdio>
#include <optional>
#include <string>

namespace parapet::cli {
namespace {

namespace control = vmm::control;

/// The domain under its name, in the foreground or the background.
class NamedDomain {
public:
    explicit NamedDomain(std::optional<Background> background) : background_{std::move(background)} {}

    int run(const RunOptions& options);

private:
    Result<void> claim_name(RunOptions& options);
    DomainEnd start(const RunOptions& options, const Incarnation& incarnation);
    void settle_log();

    std::optional<Background> background_;
    std::optional<control::NameClaim> claim_;
    std::optional<control::ControlServer> server_;
    DomainEnd last_end_;
};

Result<void> NamedDomain::claim_name(RunOptions& options) {
    auto claim = control::NameClaim::take({options.name, options.name_given, options.detach});
    if (!claim) {
        return claim.error();
    }
    claim_.emplace(*std::move(claim));
    server_.emplace(claim_->listener(), claim_->name());
    options.name = claim_->name();
    if (background_) {
        background_->use_log(claim_->sweeper().log_input(), claim_->log_path());
    }
    return {};
}

DomainEnd NamedDomain::start(const RunOptions& options, const Incarnation& incarnation) {
    DomainSurroundings surroundings;
    surroundings.control = &*server_;
    if (background_) {
        surroundings.before_confined = [this] { background_->leave_folder(); };
        surroundings.running = [this] { background_->running(claim_->name()); };
    }
    last_end_ = start_domain(options, incarnation, surroundings);
    return last_end_;
}

/// A log that nobody will miss goes; one that the first process is about to print is completed.
void NamedDomain::settle_log() {
    using Kind = DomainEnd::Kind;
    const Kind kind = last_end_.kind;
    const bool wanted = kind == Kind::crashed || kind == Kind::timed_out || kind == Kind::failed;
    if (claim_ && !background_->waited_for() && !wanted) {
        claim_->sweeper().forget_log();
    }
    server_.reset();
    claim_.reset();
}

int NamedDomain::run(const RunOptions& options) {
    const int status = cli::run(
        options, [this](const RunOptions& given, const Incarnation& incarnation) { return start(given, incarnation); },
        {},
        [this](RunOptions& given) {
            // First: it forks, and the name comes with a thread.
            const auto completed = complete_boot_options(given);
            return completed ? claim_name(given) : completed;
        });
    if (server_) {
        server_->farewell(std::string{outcome_name(last_end_.kind)}, last_end_.message);
    }
    if (background_) {
        settle_log();
        background_->ended(status);
    }
    return status;
}

} // namespace

int run_command(const RunOptions& options) {
    std::optional<Background> background;
    if (options.detach) {
        auto split = Background::split();
        if (!split) {
            std::fprintf(stderr, "parapet: %s\n", split.error().message.c_str());
            return exit_failed;
        }
        if (split->status) {
            return *split->status;
        }
        background.emplace(std::move(split->report));
    }
    return NamedDomain{std::move(background)}.run(options);
}

} // namespace parapet::cli
