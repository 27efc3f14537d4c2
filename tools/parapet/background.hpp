// SPDX-License-Identifier: Apache-2.0
// `parapet run --detach`: the domain in a process of its own session, and a first process that waits until its guest
// runs, or says why not.
//
//   first process ── fork ── setsid ── fork ──▶ the domain's process
//        ▲                                         │ from its name's claim on, standard error is the log
//        └─────────────── pipe ◀── "R NAME" ───────┤ its guest runs
//                                  "X STATUS LOG"  │ ended before: the first process prints the log
//
// So neither the domain's process nor a helper that it starts keeps the user's terminal or pipe.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <optional>
#include <string>

namespace parapet::cli {

class Background {
public:
    struct Outcome {
        std::optional<int> status; ///< in the first process: what it ends with
        UniqueFd report;           ///< in the domain's process
    };
    /// Returns in both processes. Before this process has threads.
    static Result<Outcome> split();

    explicit Background(UniqueFd report) : report_{std::move(report)} {}
    /// From now on `log` is standard error.
    void use_log(int log, const std::string& log_path);
    /// All is open that the user named: lets go of the user's folder.
    void leave_folder();
    /// The guest runs: the first process prints its name and ends.
    void running(const std::string& name);
    [[nodiscard]] bool waited_for() const { return report_.valid(); }
    /// The domain ended, and its log is complete.
    void ended(int status);

private:
    void tell(const std::string& text);

    UniqueFd report_;
    std::string log_path_;
};

} // namespace parapet::cli
