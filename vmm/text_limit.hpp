// SPDX-License-Identifier: Apache-2.0
// A log of free text that a guest cannot fill: much at once, as for a kernel's boot, then so many bytes a second.
#pragma once

#include "backends/io/rate_limit.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace parapet::vmm {

/// What it leaves out is counted, and told before the next text that passes, or at its end.
class TextLimit {
public:
    using Clock = io::RateLimit::Clock;
    using Log = std::function<void(std::string_view)>;
    static constexpr std::uint64_t burst = 1 << 20, bytes_per_second = 16 << 10;

    explicit TextLimit(Log log, std::function<Clock::time_point()> now = Clock::now)
        : log_{std::move(log)}, now_{std::move(now)} {}
    ~TextLimit() { tell(); }
    TextLimit(const TextLimit&) = delete;
    TextLimit& operator=(const TextLimit&) = delete;

    void operator()(std::string_view text) {
        // After a gap not before there is room for more than a word: or there would be a line about each.
        const std::uint64_t room = std::max<std::uint64_t>(text.size(), left_out_ != 0 ? bytes_per_second : 0);
        if (text.size() > burst || !limit_.ready(now_(), room)) {
            left_out_ += text.size();
            return;
        }
        tell();
        limit_.spend(text.size());
        at_start_of_line_ = text.empty() ? at_start_of_line_ : text.back() == '\n';
        log_(text);
    }

private:
    void tell() {
        if (left_out_ != 0) {
            log_((at_start_of_line_ ? "" : "\n") + ("parapet: " + std::to_string(std::exchange(left_out_, 0))) +
                 " bytes of the guest's log were left out: it writes more than 16 KiB a second\n");
            at_start_of_line_ = true;
        }
    }

    Log log_;
    std::function<Clock::time_point()> now_;
    io::RateLimit limit_{bytes_per_second, burst};
    std::uint64_t left_out_ = 0;
    bool at_start_of_line_ = true;
};

} // namespace parapet::vmm
