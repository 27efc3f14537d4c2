// SPDX-License-Identifier: Apache-2.0
// `parapet run --detach`: the domain in a process of its own session, and a first process that waits until its guest
// runs, or says why not.
//
//   first process ── fork ── setsid ── fork ──▶ the domain's process
//        ▲                                         │ errors: on the user's standard error
//        └─────────────── pipe ◀── "R NAME" ───────┤ opened all, about to be confined: standard error is the log
//                                  "X STATUS LOG"  │ ended before
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
    /// Lets go of the user's terminal and folder; from now on `log` is standard error.
    void settle(int log, const std::string& log_path);
    /// The guest runs: the first process prints its name and ends.
    void running(const std::string& name);
    void ended(int status);

private:
    void tell(const std::string& text);

    UniqueFd report_;
    std::string log_path_;
};

} // namespace parapet::cli
