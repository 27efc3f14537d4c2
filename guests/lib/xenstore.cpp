// SPDX-License-Identifier: Apache-2.0
// One XS_WRITE request and its reply, with bounded waiting. See xen/io/xs_wire.h.
#include "guests/lib/xenstore.hpp"

#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

constexpr uint64_t patience_ns = 2'000'000'000;

struct Store {
    xenstore_domain_interface& ring;
    evtchn_port_t port;
    uint64_t deadline;

    void notify() {
        evtchn_send send{port};
        event_channel_op(EVTCHNOP_send, &send);
    }

    /// Waits a little for the other end; false when patience is at its end.
    bool wait() {
        if (now_ns() > deadline) {
            return false;
        }
        sched_poll poll{};
        set_xen_guest_handle(poll.ports, &port);
        poll.nr_ports = 1;
        poll.timeout = now_ns() + 1'000'000;
        if (sched_op(SCHEDOP_poll, &poll) != 0) {
            sched_op(SCHEDOP_yield);
        }
        return true;
    }

    bool send(const void* data, size_t size) {
        const auto* bytes = static_cast<const char*>(data);
        uint32_t produced = ring.req_prod;
        for (size_t i = 0; i < size;) {
            if (produced - __atomic_load_n(&ring.req_cons, __ATOMIC_ACQUIRE) >= XENSTORE_RING_SIZE) {
                notify();
                if (!wait()) {
                    return false;
                }
                continue;
            }
            ring.req[MASK_XENSTORE_IDX(produced++)] = bytes[i++];
            __atomic_store_n(&ring.req_prod, produced, __ATOMIC_RELEASE);
        }
        notify();
        return true;
    }

    bool receive(void* data, size_t size) {
        auto* bytes = static_cast<char*>(data);
        uint32_t consumed = ring.rsp_cons;
        for (size_t i = 0; i < size;) {
            if (__atomic_load_n(&ring.rsp_prod, __ATOMIC_ACQUIRE) == consumed) {
                if (!wait()) {
                    return false;
                }
                continue;
            }
            bytes[i++] = ring.rsp[MASK_XENSTORE_IDX(consumed++)];
            __atomic_store_n(&ring.rsp_cons, consumed, __ATOMIC_RELEASE);
        }
        notify();
        return true;
    }
};

} // namespace

bool xenstore_write(const char* path, const char* value) {
    const start_info_t& info = start_info();
    if (is_initial_domain() || info.store_mfn == 0) {
        return false;
    }
    Store store{*static_cast<xenstore_domain_interface*>(mfn_to_virt(info.store_mfn)), info.store_evtchn,
                now_ns() + patience_ns};
    const size_t path_size = strlen(path) + 1;
    xsd_sockmsg header{XS_WRITE, 1, 0, static_cast<uint32_t>(path_size + strlen(value))};
    if (!store.send(&header, sizeof(header)) || !store.send(path, path_size) || !store.send(value, strlen(value))) {
        return false;
    }
    if (!store.receive(&header, sizeof(header))) {
        return false;
    }
    char byte;
    for (uint32_t i = 0; i < header.len && i < XENSTORE_PAYLOAD_MAX; ++i) {
        if (!store.receive(&byte, 1)) {
            return false;
        }
    }
    return header.type == XS_WRITE;
}

} // namespace parapet::guest
