// SPDX-License-Identifier: Apache-2.0
// The frontend's half of a xenbus device: its nodes, the backend's nodes, the dance of states (xen/io/xenbus.h). By
// polling: these guests have nothing else to do meanwhile.
#pragma once

#include "guests/lib/abi.hpp"

namespace parapet::guest {

/// States as bits, for sets of them.
constexpr unsigned state_bit(unsigned state) {
    return 1u << state;
}

class Xenbus {
public:
    /// Finds device/<kind>/<id>; false where there is none.
    bool open(const char* kind, unsigned id);

    [[nodiscard]] const char* frontend() const { return frontend_; }
    [[nodiscard]] const char* backend() const { return backend_; }

    /// Nodes of the backend's directory; a missing one is `otherwise`.
    [[nodiscard]] uint64_t backend_number(const char* node, uint64_t otherwise = 0) const;
    bool backend_text(const char* node, char* value, size_t size) const;
    /// Nodes of our own directory; `node` may contain a '/'.
    bool write(const char* node, const char* value) const;
    bool write(const char* node, uint64_t value) const;
    bool read(const char* node, char* value, size_t size) const;
    bool remove(const char* node) const;

    bool set_state(XenbusState state) const;
    [[nodiscard]] unsigned backend_state() const;
    /// Waits until the backend is in one of `states` (bits). Its state then, or 0 when the time is over.
    [[nodiscard]] unsigned wait_backend(unsigned states, unsigned milliseconds = 10'000) const;
    /// Closes, and starts anew: the backend waits for us afterwards. False: it does not, or not in time.
    bool restart() const;

private:
    char frontend_[48];
    char backend_[80];
};

/// Numbers of the devices of a kind, in the store's order; returns how many there are, `most` of them stored.
unsigned xenbus_devices(const char* kind, unsigned* ids, unsigned most);

} // namespace parapet::guest
