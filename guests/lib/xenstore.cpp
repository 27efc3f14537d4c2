// SPDX-License-Identifier: Apache-2.0
// One request and its reply, with bounded waiting. See xen/io/xs_wire.h.
#include "guests/lib/xenstore.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

constexpr uint64_t patience_ns = 5'000'000'000;
uint32_t last_request = 0;

struct Store {
    xenstore_domain_interface& ring;
    evtchn_port_t port;
    uint64_t deadline;

    /// Waits a little for the other end; false when patience is at its end.
    bool wait() const {
        wait_for_port(port, now_ns() + 2'000'000);
        return now_ns() < deadline;
    }

    bool send(const void* data, size_t size) const {
        const auto* bytes = static_cast<const char*>(data);
        uint32_t produced = ring.req_prod;
        for (size_t i = 0; i < size;) {
            if (produced - __atomic_load_n(&ring.req_cons, __ATOMIC_ACQUIRE) >= XENSTORE_RING_SIZE) {
                notify_port(port);
                if (!wait()) {
                    return false;
                }
                continue;
            }
            ring.req[MASK_XENSTORE_IDX(produced++)] = bytes[i++];
            __atomic_store_n(&ring.req_prod, produced, __ATOMIC_RELEASE);
        }
        return true;
    }

    bool receive(void* data, size_t size) const {
        auto* bytes = static_cast<char*>(data);
        uint32_t consumed = ring.rsp_cons;
        for (size_t i = 0; i < size;) {
            clear_port(port); // before the look: what comes later sets it again
            if (__atomic_load_n(&ring.rsp_prod, __ATOMIC_ACQUIRE) == consumed) {
                if (!wait()) {
                    return false;
                }
                continue;
            }
            for (const uint32_t produced = __atomic_load_n(&ring.rsp_prod, __ATOMIC_ACQUIRE);
                 i < size && consumed != produced; ++i) {
                bytes[i] = ring.rsp[MASK_XENSTORE_IDX(consumed++)];
            }
            __atomic_store_n(&ring.rsp_cons, consumed, __ATOMIC_RELEASE);
        }
        return true;
    }
};

struct Payload {
    const void* data = nullptr;
    size_t size = 0;
};
struct Answer {
    char* data = nullptr;
    size_t size = 0;
    size_t length = 0; ///< of what was said; may be more than `size`
};

bool call(uint32_t type, Payload first, Payload second, Answer* answer = nullptr) {
    const start_info_t& info = start_info();
    if (is_initial_domain() || info.store_mfn == 0) {
        return false;
    }
    const Store store{*static_cast<xenstore_domain_interface*>(mfn_to_virt(info.store_mfn)), info.store_evtchn,
                      now_ns() + patience_ns};
    xsd_sockmsg header{type, ++last_request, 0, static_cast<uint32_t>(first.size + second.size)};
    if (!store.send(&header, sizeof(header)) || !store.send(first.data, first.size) ||
        !store.send(second.data, second.size)) {
        return false;
    }
    notify_port(store.port);
    static char reply[XENSTORE_PAYLOAD_MAX];
    do { // late answers to a request that was given up are not ours
        if (!store.receive(&header, sizeof(header)) || header.len > sizeof(reply) ||
            !store.receive(reply, header.len)) {
            return false;
        }
    } while (header.req_id != last_request);
    notify_port(store.port); // there is room again
    if (answer != nullptr) {
        answer->length = header.len;
        memcpy(answer->data, reply, header.len < answer->size ? header.len : answer->size);
    }
    return header.type == type;
}

Payload path_of(const char* path) {
    return {path, strlen(path) + 1};
}

} // namespace

bool xenstore_write(const char* path, const char* value) {
    return call(XS_WRITE, path_of(path), {value, strlen(value)});
}

bool xenstore_write_number(const char* path, uint64_t value) {
    char text[24];
    print_to(text, sizeof(text), "%lu", value);
    return xenstore_write(path, text);
}

bool xenstore_remove(const char* path) {
    return call(XS_RM, path_of(path), {});
}

bool xenstore_read(const char* path, char* value, size_t size) {
    Answer answer{value, size - 1};
    const bool known = call(XS_READ, path_of(path), {}, &answer);
    value[!known ? 0 : answer.length < size ? answer.length : size - 1] = 0;
    return known;
}

uint64_t parse_number(const char* text, uint64_t otherwise) {
    if (*text < '0' || *text > '9') {
        return otherwise;
    }
    uint64_t number = 0;
    for (; *text >= '0' && *text <= '9'; ++text) {
        number = number * 10 + static_cast<uint64_t>(*text - '0');
    }
    return number;
}

uint64_t xenstore_read_number(const char* path, uint64_t otherwise) {
    char text[24];
    return xenstore_read(path, text, sizeof(text)) ? parse_number(text, otherwise) : otherwise;
}

domid_t own_domid() {
    return is_initial_domain() ? 0 : static_cast<domid_t>(xenstore_read_number("domid", DOMID_INVALID));
}

bool xenstore_list(const char* path, char* names, size_t size, size_t& length) {
    Answer answer{names, size};
    const bool known = call(XS_DIRECTORY, path_of(path), {}, &answer);
    length = !known ? 0 : answer.length < size ? answer.length : size;
    return known;
}

} // namespace parapet::guest
