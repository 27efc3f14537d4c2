// SPDX-License-Identifier: Apache-2.0
// Impossible indices and malformed messages in the xenstore ring.
// case=indices (default), length (messages that claim too much), flood (requests, answers never taken)
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

constexpr uint32_t wild[] = {0xffffffff, 0x80000000, 0x7fffffff, 1025, 0x10000, 1};

xenstore_domain_interface* ring;
evtchn_port_t port;

void kick() {
    notify_port(port);
    sched_poll poll{};
    poll.timeout = now_ns() + 2'000'000;
    sched_op(SCHEDOP_poll, &poll);
}

void indices() {
    for (const uint32_t a : wild) {
        for (const uint32_t b : wild) {
            __atomic_store_n(&ring->req_cons, a, __ATOMIC_SEQ_CST);
            __atomic_store_n(&ring->req_prod, b, __ATOMIC_SEQ_CST);
            __atomic_store_n(&ring->rsp_cons, b, __ATOMIC_SEQ_CST);
            __atomic_store_n(&ring->rsp_prod, a, __ATOMIC_SEQ_CST);
            kick();
        }
    }
}

/// One message of nothing but a header, answers dropped.
void send_header(const xsd_sockmsg& header) {
    const auto* bytes = reinterpret_cast<const char*>(&header);
    uint32_t produced = ring->req_prod;
    for (size_t i = 0; i < sizeof(header); ++i) {
        ring->req[MASK_XENSTORE_IDX(produced++)] = bytes[i];
    }
    __atomic_store_n(&ring->req_prod, produced, __ATOMIC_SEQ_CST);
    kick();
    __atomic_store_n(&ring->rsp_cons, ring->rsp_prod, __ATOMIC_SEQ_CST);
}

void lengths() {
    for (const uint32_t length : {4097u, 0xffffffffu, 0x7fffffffu, 0x80000000u, 100000u}) {
        for (uint32_t type = 0; type < 32; ++type) {
            send_header({type, 1, 0, length});
        }
    }
}

void flood() {
    for (unsigned i = 0; i < 500; ++i) {
        const xsd_sockmsg header{XS_GET_DOMAIN_PATH, i, 0, 2};
        const char payload[] = "0";
        uint32_t produced = ring->req_prod;
        if (produced - ring->req_cons > XENSTORE_RING_SIZE - sizeof(header) - sizeof(payload)) {
            kick();
            continue;
        }
        for (size_t k = 0; k < sizeof(header) + sizeof(payload); ++k) {
            ring->req[MASK_XENSTORE_IDX(produced++)] =
                k < sizeof(header) ? reinterpret_cast<const char*>(&header)[k] : payload[k - sizeof(header)];
        }
        __atomic_store_n(&ring->req_prod, produced, __ATOMIC_SEQ_CST);
        notify_port(port);
    }
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    const start_info_t& info = start_info();
    if (is_initial_domain() || info.store_mfn == 0) {
        print("verdict: SKIP xenstore_ring: no xenstore ring\n");
        return 0;
    }
    ring = static_cast<xenstore_domain_interface*>(mfn_to_virt(info.store_mfn));
    port = info.store_evtchn;
    char which[16] = "indices";
    command_line_value("case", which, sizeof(which));
    if (strcmp(which, "length") == 0) {
        lengths();
    } else if (strcmp(which, "flood") == 0) {
        flood();
    } else {
        indices();
    }
    print("verdict: PASS xenstore_ring\n");
    return 0;
}

} // namespace parapet::guest
