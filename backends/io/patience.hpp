// SPDX-License-Identifier: Apache-2.0
// Whether who takes requests from a ring asks for a signal at the next one, or looks again unasked a moment later.
//
// A signal for each request is a wake-up for each: on a machine with few CPUs it takes the CPU from the guest that is
// about to post the next one. So after requests have come, the ring is looked at for a moment more while others of its
// are under way. Where that finds nothing it is tried more and more rarely (a slow disk with one request at a time:
// once in 64).
#pragma once

#include <algorithm>
#include <chrono>

namespace parapet::io {

class Patience {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr unsigned most_skipped = 63;

    /// A look at the ring is over; `found`: there were requests; `under_way`: some are not answered yet. True: look
    /// again soon, for `moment` after the last that were found. False: ask for a signal.
    [[nodiscard]] bool look_again(bool found, bool under_way, Clock::time_point now, Clock::duration moment) {
        if (!under_way) { // the guest waits for nothing: there is no saying when it will post again
            unasked_ = false;
            return false;
        }
        if (found) {
            if (unasked_) {
                distrust_ = 0;
            } else if (skip_ > 0) {
                --skip_;
                return false;
            }
            until_ = now + moment;
            return unasked_ = true;
        }
        if (unasked_ && now >= until_) {
            unasked_ = false;
            skip_ = distrust_ = std::min(2 * distrust_ + 1, most_skipped);
        }
        return unasked_;
    }

private:
    bool unasked_ = false; ///< the guest has not been asked for a signal
    Clock::time_point until_;
    unsigned distrust_ = 0, skip_ = 0; ///< how often not to be tried after a failure; how often that still is
};

} // namespace parapet::io
