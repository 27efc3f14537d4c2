// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/xenbus.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

namespace {

struct Path {
    char text[160];
    Path(const char* directory, const char* node) { print_to(text, sizeof(text), "%s/%s", directory, node); }
};

} // namespace

bool Xenbus::open(const char* kind, unsigned id) {
    print_to(frontend_, sizeof(frontend_), "device/%s/%u", kind, id);
    return xenstore_read(Path{frontend_, "backend"}.text, backend_, sizeof(backend_));
}

uint64_t Xenbus::backend_number(const char* node, uint64_t otherwise) const {
    return xenstore_read_number(Path{backend_, node}.text, otherwise);
}

bool Xenbus::backend_text(const char* node, char* value, size_t size) const {
    return xenstore_read(Path{backend_, node}.text, value, size);
}

bool Xenbus::write(const char* node, const char* value) const {
    return xenstore_write(Path{frontend_, node}.text, value);
}

bool Xenbus::write(const char* node, uint64_t value) const {
    return xenstore_write_number(Path{frontend_, node}.text, value);
}

bool Xenbus::read(const char* node, char* value, size_t size) const {
    return xenstore_read(Path{frontend_, node}.text, value, size);
}

bool Xenbus::remove(const char* node) const {
    return xenstore_remove(Path{frontend_, node}.text);
}

bool Xenbus::set_state(XenbusState state) const {
    return write("state", static_cast<uint64_t>(state));
}

unsigned Xenbus::backend_state() const {
    const uint64_t state = backend_number("state");
    return state <= XenbusStateReconfigured ? static_cast<unsigned>(state) : 0;
}

unsigned Xenbus::wait_backend(unsigned states, unsigned milliseconds) const {
    const uint64_t end = now_ns() + milliseconds * 1'000'000ul;
    for (;;) {
        const unsigned state = backend_state();
        if ((state_bit(state) & states) != 0) {
            return state;
        }
        if (now_ns() > end) {
            return 0;
        }
        clear_port(start_info().store_evtchn);
        wait_for_port(start_info().store_evtchn, now_ns() + 1'000'000);
    }
}

bool Xenbus::restart() const {
    constexpr unsigned gone = state_bit(XenbusStateClosing) | state_bit(XenbusStateClosed);
    return set_state(XenbusStateClosing) && wait_backend(gone) != 0 && set_state(XenbusStateClosed) &&
           wait_backend(state_bit(XenbusStateClosed)) != 0 && set_state(XenbusStateInitialising) &&
           wait_backend(state_bit(XenbusStateInitWait)) != 0;
}

unsigned xenbus_devices(const char* kind, unsigned* ids, unsigned most) {
    char directory[32];
    char names[512];
    size_t length = 0;
    print_to(directory, sizeof(directory), "device/%s", kind);
    if (!xenstore_list(directory, names, sizeof(names) - 1, length)) {
        return 0;
    }
    names[length] = 0;
    unsigned count = 0;
    for (size_t at = 0; at < length; at += strlen(names + at) + 1) {
        if (count < most) {
            ids[count] = static_cast<unsigned>(parse_number(names + at, 0));
        }
        ++count;
    }
    return count;
}

} // namespace parapet::guest
