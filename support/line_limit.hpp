// SPDX-License-Identifier: Apache-2.0
// A log that a guest cannot fill: some lines at once, then a few a minute.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace parapet {

/// Copies share the limit. What it leaves out is counted, and told with the next line that passes.
class LineLimit {
public:
    using Clock = std::chrono::steady_clock;
    using Log = std::function<void(std::string_view)>;
    static constexpr unsigned most_in_a_minute = 20;

    explicit LineLimit(Log log, unsigned most = most_in_a_minute, std::function<Clock::time_point()> now = Clock::now)
        : state_{std::make_shared<State>(State{std::move(log), std::move(now), most})} {}

    void operator()(std::string_view line) const {
        State& state = *state_;
        const auto now = state.now();
        if (state.lines == 0 || now - state.since >= std::chrono::minutes{1}) {
            state.since = now;
            state.lines = 0;
        }
        if (++state.lines > state.most) {
            state.lines = state.most;
            state.left_out++;
            return;
        }
        if (state.left_out != 0) {
            state.log("(" + std::to_string(state.left_out) + " lines like it were left out)");
            state.left_out = 0;
        }
        state.log(line);
    }

private:
    struct State {
        Log log;
        std::function<Clock::time_point()> now;
        unsigned most; ///< in a minute
        Clock::time_point since{};
        unsigned lines = 0;
        unsigned long left_out = 0;
    };
    std::shared_ptr<State> state_;
};

} // namespace parapet
