// SPDX-License-Identifier: Apache-2.0
// Whether the I/O thread may take a CPU from whoever runs there when it wakes up.
//
// With few requests under way it has to: the guest waits for each. With many, on a host with fewer CPUs than work, the
// one it takes it from is the guest that is about to post the next request, and each batch shrinks to one. SCHED_BATCH
// does not preempt, and runs at once where a CPU is idle (sched(7)); its share of the CPU is the same.
#pragma once

#include <optional>
#include <sched.h>

namespace parapet::io {

/// Of the calling thread. Leaves a policy alone that somebody else has chosen.
class Scheduling {
public:
    static constexpr int many = 8; ///< operations under way, of those that end soon

    /// True: it changed the policy (a system call).
    bool adapt(int under_way) {
        const bool batch = under_way >= (batch_ ? many / 2 : many);
        if (batch == batch_ || !free()) {
            return false;
        }
        batch_ = batch;
        const sched_param none{};
        (void)::sched_setscheduler(0, batch ? SCHED_BATCH : SCHED_OTHER, &none);
        return true;
    }

private:
    bool free() {
        if (!free_) {
            free_ = ::sched_getscheduler(0) == SCHED_OTHER;
        }
        return *free_;
    }
    bool batch_ = false;
    std::optional<bool> free_; ///< as it was at the first change
};

} // namespace parapet::io
