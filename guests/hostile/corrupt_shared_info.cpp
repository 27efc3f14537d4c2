// SPDX-License-Identifier: Apache-2.0
// Overwrites start_info and the whole shared information page with ones, then goes on using the hypervisor.
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest {

namespace {

/// Everything that makes the hypervisor read or write the shared page.
bool use_hypervisor() {
    bool alive = true;
    for (unsigned i = 0; i < 1000; ++i) {
        alive = alive && xen_version(XENVER_version, nullptr) > 0;
        const long port = bind_ipi();
        if (port > 0) {
            notify_port(static_cast<evtchn_port_t>(port));
            unmask_port(static_cast<evtchn_port_t>(port));
            close_port(static_cast<evtchn_port_t>(port));
        }
        set_timer_op(1);
        sched_op(SCHEDOP_yield);
    }
    return alive;
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    static shared_info_t before;
    memcpy(&before, &shared_info(), sizeof(before));
    for (const int byte : {0xff, 0x00, 0xa5, 0x7f}) {
        shared_info_t& shared = shared_info();
        memset(&shared, byte, page_size);
        this_vcpu().evtchn_upcall_mask = 1; // an upcall of ours would need what we just wrote over
        if (!use_hypervisor()) {
            memcpy(&shared_info(), &before, sizeof(before));
            print("verdict: FAIL corrupt_shared_info: the hypervisor does not answer\n");
            return 1;
        }
    }
    start_info_t& info = start_info();
    const auto console = info.console;
    const auto flags = info.flags;
    memset(&info, 0xff, sizeof(info));
    const bool alive = use_hypervisor();
    memcpy(&shared_info(), &before, sizeof(before)); // without the time there, our own waiting has no end
    info.console = console;
    info.flags = flags;
    print("verdict: %s corrupt_shared_info\n", alive ? "PASS" : "FAIL");
    return alive ? 0 : 1;
}

} // namespace parapet::guest
