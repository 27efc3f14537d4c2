// SPDX-License-Identifier: Apache-2.0
// Event-channel bits between the vmm and the nucleus (doorbell.hpp: PortBitmap).
#pragma once

#include "pv-abi/doorbell.hpp"
#include "vmm/kvm.hpp"

#include <cstdint>
#include <functional>

namespace parapet::vmm {

class PortMailbox {
public:
    /// `interrupt`: the eventfd bound to MAILBOX_VECTOR. The mailbox outlives this.
    PortMailbox(doorbell::Mailbox& mailbox, int interrupt) : mailbox_{&mailbox}, interrupt_{interrupt} {}

    /// Raise an event channel of the guest. Any thread.
    void notify(std::uint32_t port);
    /// The same without the interrupt, which the caller sends when it has marked all that are due.
    /// False: there is no such port.
    bool mark(std::uint32_t port);
    /// Take all bits that the guest set, and call for each port. The bits are the guest's word: any may be set.
    void take(const std::function<void(std::uint32_t port)>& call);

private:
    void take_word(std::uint32_t word, const std::function<void(std::uint32_t port)>& call);

    doorbell::Mailbox* mailbox_;
    int interrupt_;
};

} // namespace parapet::vmm
