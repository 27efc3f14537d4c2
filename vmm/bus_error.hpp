// SPDX-License-Identifier: Apache-2.0
// Says in a sentence why this process ends where the host has no memory left for a page of the guest that is touched
// here: the kernel has no other word for it than SIGBUS.
#pragma once

#include <csignal>

namespace parapet::vmm {

/// While it lives, SIGBUS ends the process with exit status 1 and one sentence.
class BusErrorGuard {
public:
    BusErrorGuard();
    ~BusErrorGuard();
    BusErrorGuard(const BusErrorGuard&) = delete;
    BusErrorGuard& operator=(const BusErrorGuard&) = delete;

private:
    struct sigaction before_ {};
};

} // namespace parapet::vmm
