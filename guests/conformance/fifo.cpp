// SPDX-License-Identifier: Apache-2.0
// FIFO event channels: going over from two levels with what is pending, queues, priorities, masks, more pages, closing,
// poll, and wrong requests. Going back is event_reset.cpp.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/lib/fifo.hpp"

namespace parapet::guest {

const char* const test_name = "fifo";

namespace {

Fifo fifo;

evtchn_port_t ipi() {
    const long port = bind_ipi();
    expect(port > 0, "bind_ipi: %ld", port);
    return static_cast<evtchn_port_t>(port);
}

void expect_taken(evtchn_port_t wanted, const char* what) {
    const evtchn_port_t got = fifo.take();
    expect(got == wanted, "%s: took port %u, not %u", what, got, wanted);
}

long init_control_at(uint64_t mfn, uint32_t offset, uint32_t vcpu) {
    evtchn_init_control request{};
    request.control_gfn = mfn;
    request.offset = offset;
    request.vcpu = vcpu;
    return event_channel_op(EVTCHNOP_init_control, &request);
}

long expand_by(uint64_t mfn) {
    evtchn_expand_array request{mfn};
    return event_channel_op(EVTCHNOP_expand_array, &request);
}

void before_it_begins(evtchn_port_t port) {
    void* page = alloc_page();
    const uint64_t good = virt_to_mfn(page);
    expect_result(expand_by(good), -XEN_EOPNOTSUPP, "expand_array before init_control");
    expect_result(set_priority(port, 0), -XEN_ENOSYS, "set_priority with two levels");
    expect_result(set_priority(0xffffff, 0), -XEN_EINVAL, "set_priority of a port out of range");
    expect_result(init_control_at(good, 0, 4095), -XEN_ENOENT, "init_control of vCPU 4095");
    expect_result(init_control_at(good, page_size - 64, 0), -XEN_EINVAL, "a control block over the page's end");
    expect_result(init_control_at(good, 0xfffffff8, 0), -XEN_EINVAL, "an offset of 4 GiB");
    expect_result(init_control_at(good, 4, 0), -XEN_EINVAL, "a control block on 4 bytes");
    expect_result(init_control_at(0xfffffffff, 0, 0), -XEN_EINVAL, "a wild frame");
    expect_result(init_control_at(virt_to_mfn(root_table()), 0, 0), -XEN_EINVAL, "a page table");
    for (const unsigned command : {EVTCHNOP_init_control, EVTCHNOP_expand_array, EVTCHNOP_set_priority}) {
        expect_result(event_channel_op(command, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    }
}

/// Whatever was pending by two levels is on a queue as soon as its word is there.
void go_over(evtchn_port_t pending, evtchn_port_t masked) {
    expect_result(notify_port(pending), 0, "send with two levels");
    expect_result(notify_port(masked), 0, "send with two levels");
    fifo.alloc();
    fifo.word(pending) = 0; // unmasked before it is given
    expect_result(fifo.init_control(page_size - sizeof(evtchn_fifo_control_block)), 0, "init_control");
    expect_result(fifo.init_control(page_size - sizeof(evtchn_fifo_control_block)), -XEN_EINVAL, "init_control twice");
    expect(fifo.take() == 0, "an event before there are words");
    expect_result(expand_by(0xfffffffff), -XEN_EINVAL, "words in a wild frame");
    expect_result(expand_by(virt_to_mfn(root_table())), -XEN_EINVAL, "words in a page table");
    expect_result(fifo.expand(), 0, "expand_array");
    expect_taken(pending, "pending by two levels");
    expect((fifo.word(masked) & fifo_pending) != 0, "what was pending and is masked: %x", fifo.word(masked));
    expect_taken(0, "what is masked");
    expect_result(unmask_port(masked), 0, "unmask");
    expect_taken(masked, "unmasked");
}

void queues(evtchn_port_t a, evtchn_port_t b, evtchn_port_t c) {
    this_vcpu().evtchn_upcall_pending = 0;
    expect_result(notify_port(a), 0, "send");
    expect(this_vcpu().evtchn_upcall_pending != 0, "evtchn_upcall_pending is not set");
    expect(fifo.control().ready == 1u << EVTCHN_FIFO_PRIORITY_DEFAULT, "ready is %x", fifo.control().ready);
    expect(fifo.control().head[EVTCHN_FIFO_PRIORITY_DEFAULT] == a, "head is %u",
           fifo.control().head[EVTCHN_FIFO_PRIORITY_DEFAULT]);
    notify_port(b);
    notify_port(c);
    notify_port(a);
    expect(fifo.word(a) == (fifo_pending | fifo_linked | b), "first word %x", fifo.word(a));
    expect(fifo.word(b) == (fifo_pending | fifo_linked | c), "second word %x", fifo.word(b));
    expect(fifo.word(c) == (fifo_pending | fifo_linked), "last word %x", fifo.word(c));
    for (const evtchn_port_t port : {a, b, c, 0u}) {
        expect_taken(port, "in order");
    }
    expect(fifo.word(a) == 0, "a word that was taken is %x", fifo.word(a));
    this_vcpu().evtchn_upcall_pending = 0;
    notify_port(c);
    expect(this_vcpu().evtchn_upcall_pending != 0, "no upcall for the tail that was taken");
    expect_taken(c, "again");

    expect_result(set_priority(b, EVTCHN_FIFO_PRIORITY_MAX), 0, "set_priority");
    expect_result(set_priority(a, EVTCHN_FIFO_PRIORITY_MIN), 0, "set_priority");
    expect_result(set_priority(a, EVTCHN_FIFO_PRIORITY_MIN + 1), -XEN_EINVAL, "a priority out of range");
    for (const evtchn_port_t port : {a, c, b}) {
        notify_port(port);
    }
    expect(fifo.control().ready ==
               (1u << EVTCHN_FIFO_PRIORITY_MAX | 1u << EVTCHN_FIFO_PRIORITY_DEFAULT | 1u << EVTCHN_FIFO_PRIORITY_MIN),
           "ready is %x with three queues", fifo.control().ready);
    for (const evtchn_port_t port : {b, c, a, 0u}) {
        expect_taken(port, "by priority");
    }
    // While it is on a queue, a port stays on it; its next event goes by the new priority.
    notify_port(c);
    expect_result(set_priority(c, 3), 0, "set_priority while linked");
    notify_port(b);
    expect_taken(b, "the other first");
    expect_taken(c, "on the old queue");
    notify_port(c);
    expect(fifo.control().head[3] == c, "the new queue's head is %u", fifo.control().head[3]);
    expect_taken(c, "on the new queue");
}

void masks(evtchn_port_t port) {
    fifo.word(port) = fifo_masked;
    expect_result(notify_port(port), 0, "send on a masked port");
    expect(fifo.word(port) == (fifo_masked | fifo_pending), "a masked port's word is %x", fifo.word(port));
    expect_taken(0, "masked");
    expect_result(unmask_port(port), 0, "unmask");
    expect(fifo.word(port) == (fifo_linked | fifo_pending), "after unmask its word is %x", fifo.word(port));
    expect_taken(port, "unmasked");
    // Masked behind the hypervisor's back while linked: taken off, still pending.
    notify_port(port);
    __atomic_fetch_or(const_cast<uint32_t*>(&fifo.word(port)), fifo_masked, __ATOMIC_SEQ_CST);
    expect_taken(0, "masked while linked");
    expect(fifo.word(port) == (fifo_masked | fifo_pending), "its word is %x", fifo.word(port));
    expect_result(unmask_port(port), 0, "unmask");
    expect_taken(port, "unmasked again");
    expect_result(unmask_port(0xffffff), -XEN_EINVAL, "unmask of a port out of range");
}

void closing(evtchn_port_t port) {
    notify_port(port);
    expect_result(close_port(port), 0, "close while linked");
    expect((fifo.word(port) & fifo_pending) == 0, "pending after the close: %x", fifo.word(port));
    const evtchn_port_t other = ipi();
    expect(other != port, "a port that is still on a queue was opened again");
    expect_taken(0, "closed");
    expect_result(close_port(other), 0, "close");
    const evtchn_port_t again = ipi();
    expect(again == port, "the port taken off the queue is not the next: %u, not %u", again, port);
    unmask_port(again);
    notify_port(again);
    expect_taken(again, "opened again");
}

long poll(evtchn_port_t port, uint64_t ns) {
    sched_poll request{};
    set_xen_guest_handle(request.ports, &port);
    request.nr_ports = 1;
    request.timeout = now_ns() + ns;
    return sched_op(SCHEDOP_poll, &request);
}

void polling(evtchn_port_t port) {
    constexpr uint64_t ms = 1'000'000;
    this_vcpu().evtchn_upcall_pending = 0;
    fifo.word(port) = fifo_masked;
    const uint64_t begin = now_ns();
    expect_result(poll(port, 20 * ms), 0, "poll of an idle port");
    expect(now_ns() - begin >= 19 * ms, "the poll ended after %lu ns of 20 ms", now_ns() - begin);
    notify_port(port);
    const uint64_t again = now_ns();
    expect_result(poll(port, 3000 * ms), 0, "poll of a pending port");
    expect(now_ns() - again < 1500 * ms, "the poll of a pending port waited");
    fifo.word(port) = 0;
}

void many_ports() {
    evtchn_port_t last = 0;
    while (last < fifo_words_per_page) {
        const long port = bind_ipi();
        if (!expect(port > 0, "bind_ipi: %ld after port %u", port, last)) {
            return;
        }
        last = static_cast<evtchn_port_t>(port);
    }
    expect_result(notify_port(last), 0, "send without a word");
    expect_taken(0, "without a word");
    expect_result(unmask_port(last), 0, "unmask without a word");
    auto* page = static_cast<uint32_t*>(alloc_page()); // all unmasked
    expect_result(fifo.expand(page), 0, "the second page");
    expect_taken(last, "sent before its word was there");
    expect_taken(0, "nothing else");
}

/// The upcall comes, and a taken queue brings none.
void upcalls(evtchn_port_t port) {
    this_vcpu().evtchn_upcall_pending = 0;
    unmask_events();
    const uint64_t before = upcall_count();
    expect_result(notify_port(port), 0, "send");
    expect(upcall_count() == before + 1, "%lu upcalls", upcall_count() - before);
    expect_taken(port, "its event");
    mask_events();
}

} // namespace

void test() {
    const evtchn_port_t a = ipi(), b = ipi(), c = ipi();
    before_it_begins(a);
    go_over(a, b);
    unmask_port(c);
    queues(a, b, c);
    masks(a);
    closing(c);
    polling(b);
    upcalls(a);
    many_ports();
}

} // namespace parapet::guest
