// SPDX-License-Identifier: Apache-2.0
// EVTCHNOP_reset: all ports are closed, and the domain is back on two levels. A guest domain loses its console's port
// by it, and opens it again for the host: Parapet connects it, real Xen's toolstack would not.
#include "guests/conformance/check.hpp"
#include "guests/lib/fifo.hpp"

namespace parapet::guest {

const char* const test_name = "event_reset";

namespace {

Fifo fifo;

long reset(domid_t domain) {
    evtchn_reset request{domain};
    return event_channel_op(EVTCHNOP_reset, &request);
}

} // namespace

void test() {
    expect_result(event_channel_op(EVTCHNOP_reset, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    expect_result(reset(0x7000), -XEN_ESRCH, "reset of no domain");
    const auto timer = static_cast<evtchn_port_t>(bind_virq(VIRQ_TIMER));
    const auto port = static_cast<evtchn_port_t>(bind_ipi());
    for (unsigned i = 0; i < 500; ++i) {
        bind_ipi();
    }
    fifo.alloc();
    expect_result(fifo.init_control(), 0, "init_control");
    expect_result(fifo.expand(), 0, "expand_array");
    unmask_port(port);
    notify_port(port);
    evtchn_port_t console[2] = {};
    expect_result(reset(DOMID_SELF), 0, "reset");
    if (!is_initial_domain()) { // store and console: the vmm is at their other end again
        for (evtchn_port_t& opened : console) {
            opened = static_cast<evtchn_port_t>(alloc_port());
        }
        expect(console[0] == 1 && console[1] == 2, "ports %u, %u after the reset", console[0], console[1]);
    }
    expect_result(notify_port(timer), -XEN_EINVAL, "send on a port that was closed");
    expect((fifo.word(port) & fifo_pending) == 0, "pending after the reset: %x", fifo.word(port));
    expect(bind_virq(VIRQ_TIMER) > 0, "VIRQ_TIMER is still bound");
    // Two levels: the bit is in shared_info, and the words are the guest's own again.
    const auto after = static_cast<evtchn_port_t>(bind_ipi());
    const uint32_t word = fifo.word(after);
    expect_result(notify_port(after), 0, "send");
    expect(port_pending(after), "it is not pending by two levels");
    expect(fifo.word(after) == word, "its FIFO word changed");
    expect_result(set_priority(after, 3), -XEN_ENOSYS, "set_priority after the reset");
    expect_result(set_read_only(fifo.first_page()), 0, "the page of words is unmapped for writing");
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, virt_to_mfn(fifo.first_page())), 0, "and may be a page table");
}

} // namespace parapet::guest
