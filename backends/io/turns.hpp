// SPDX-License-Identifier: Apache-2.0
// Who waits for a limit that several share: first come, first served, so that none of them starves.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

namespace parapet::io {

class Turns {
public:
    struct Waiter {
        const void* who = nullptr; ///< its address is its name
        std::uint64_t units = 0;
    };

    /// `who` has so many units to go. It is the last in the line from now on, unless it stands there already.
    void wait(const void* who, std::uint64_t units) {
        const auto found = std::find_if(line_.begin(), line_.end(), [who](const Waiter& w) { return w.who == who; });
        if (found == line_.end()) {
            line_.push_back({who, units});
        } else {
            found->units = units;
        }
    }
    /// May `who` go, as far as others are concerned?
    [[nodiscard]] bool is_next(const void* who) const { return line_.empty() || line_.front().who == who; }
    /// `who` has gone, or will not go any more.
    void leave(const void* who) {
        std::erase_if(line_, [who](const Waiter& w) { return w.who == who; });
    }
    /// In order.
    [[nodiscard]] const std::deque<Waiter>& line() const { return line_; }

private:
    std::deque<Waiter> line_;
};

} // namespace parapet::io
