// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/shutdown.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"

namespace parapet::guest {

void shutdown(unsigned reason) {
    console_drain(1000);
    sched_shutdown argument{reason};
    for (;;) {
        sched_op(SCHEDOP_shutdown, &argument);
    }
}

} // namespace parapet::guest
