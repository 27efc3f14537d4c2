// SPDX-License-Identifier: Apache-2.0
// FIFO event channels whose control block and words are no such thing: random bits, circles, links out of range, one
// page in many places, changed all the time; and their pages asked back as page tables or for the balloon. Then the
// domain resets its channels and uses them as it should.
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/fifo.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/random.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned rounds = 20'000, nr_ports = 40, nr_pages = 4;
unsigned failures = 0;

void must(bool ok, const char* what) {
    if (!ok) {
        print("fail: %s\n", what);
        ++failures;
    }
}

Random random{0xf1f0};
uint64_t below(uint64_t bound) {
    return random.below(bound);
}

struct Pages {
    uint32_t* control = static_cast<uint32_t*>(alloc_page());
    uint32_t* words[nr_pages];
};

uint32_t evil_word() {
    switch (below(4)) {
    case 0:
        return static_cast<uint32_t>(random.next());
    case 1: // on a queue, and in a circle as likely as not
        return fifo_linked | fifo_pending | static_cast<uint32_t>(below(nr_ports));
    case 2:
        return 0xffffffff;
    default:
        return 0;
    }
}

void scribble(Pages& pages) {
    for (unsigned i = 0; i < 4; ++i) {
        *const_cast<volatile uint32_t*>(&pages.words[below(nr_pages)][below(nr_ports)]) = evil_word();
    }
    if (below(4) == 0) {
        *const_cast<volatile uint32_t*>(&pages.control[below(18)]) = evil_word();
    }
}

void step(evtchn_port_t* ports) {
    evtchn_port_t& port = ports[below(nr_ports)];
    switch (below(10)) {
    case 0:
        set_priority(port, static_cast<uint32_t>(below(17)));
        return;
    case 1:
        unmask_port(port);
        return;
    case 2:
        close_port(port);
        port = static_cast<evtchn_port_t>(bind_ipi());
        return;
    case 3: {
        wait_for_port(port, now_ns() + 1000);
        return;
    }
    case 4:
        set_timer_op(now_ns() + 1);
        return;
    default:
        notify_port(port);
    }
}

long expand(uint64_t mfn) {
    evtchn_expand_array request{mfn};
    return event_channel_op(EVTCHNOP_expand_array, &request);
}

void go_over(Pages& pages) {
    evtchn_init_control request{};
    request.control_gfn = virt_to_mfn(pages.control);
    must(event_channel_op(EVTCHNOP_init_control, &request) == 0, "init_control");
    for (uint32_t*& words : pages.words) { // the control block is the third page of words, too
        words = &words == &pages.words[2] ? pages.control : static_cast<uint32_t*>(alloc_page());
        must(expand(virt_to_mfn(words)) == 0, "expand_array");
    }
    for (const uint64_t mfn : {0xffffffffful, virt_to_mfn(root_table()), 0ul, 16ul}) {
        must(expand(mfn) < 0, "words in a frame that is not ours to write to");
    }
}

/// The nucleus holds them: no other use while it does.
void misuse(Pages& pages) {
    for (uint32_t* page : {pages.control, pages.words[0]}) {
        must(set_read_only(page) == 0, "make it read-only");
        must(mmuext_mfn(MMUEXT_PIN_L1_TABLE, virt_to_mfn(page)) < 0, "a page of the queues became a page table");
        must(update_va_mapping(address_of(page), 0) == 0, "unmap it");
        xen_pfn_t frame = virt_to_mfn(page);
        xen_memory_reservation give{};
        set_xen_guest_handle(give.extent_start, &frame);
        give.nr_extents = 1;
        give.domid = DOMID_SELF;
        const long given = memory_op(XENMEM_decrease_reservation, &give);
        // Real Xen takes it off the domain's account, and keeps it as long as the queues use it.
        must(given == 0 || is_initial_domain(), "a page of the queues went to the balloon");
        must(set_writable(page) == 0, "map it again");
    }
}

void start_over() {
    evtchn_reset self{DOMID_SELF};
    const long error = event_channel_op(EVTCHNOP_reset, &self);
    if (!is_initial_domain()) {
        alloc_port();
        alloc_port(); // store and console
    }
    must(error == 0, "reset");
    Fifo fifo;
    fifo.alloc();
    must(fifo.init_control() == 0 && fifo.expand() == 0, "FIFO once more");
    const auto port = static_cast<evtchn_port_t>(bind_ipi());
    unmask_port(port);
    for (unsigned i = 0; i < 100; ++i) {
        notify_port(port);
        must(fifo.take() == port && fifo.take() == 0, "an event on sound queues");
    }
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    static Pages pages;
    evtchn_port_t ports[nr_ports];
    const long timer = bind_virq(VIRQ_TIMER);
    go_over(pages);
    unmask_port(static_cast<evtchn_port_t>(timer));
    for (evtchn_port_t& port : ports) {
        port = static_cast<evtchn_port_t>(bind_ipi());
    }
    for (unsigned i = 0; i < rounds; ++i) {
        scribble(pages);
        step(ports);
    }
    misuse(pages);
    start_over();
    print("hostile: %u rounds on wild queues\n", rounds);
    print("verdict: %s fifo_chaos\n", failures == 0 ? "PASS" : "FAIL");
    return failures == 0 ? 0 : 1;
}

} // namespace parapet::guest
