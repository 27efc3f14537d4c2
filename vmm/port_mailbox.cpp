// SPDX-License-Identifier: Apache-2.0
#include "vmm/port_mailbox.hpp"

#include <atomic>
#include <bit>
#include <unistd.h>

namespace parapet::vmm {

bool PortMailbox::mark(std::uint32_t port) {
    if (port >= doorbell::MAX_PORTS) {
        return false;
    }
    const std::uint64_t word = port / 64;
    // The word first: the nucleus that sees the selector bit must find the port.
    std::atomic_ref{mailbox_->to_nucleus.word[word]}.fetch_or(1ULL << port % 64, std::memory_order_release);
    std::atomic_ref{mailbox_->to_nucleus.selector}.fetch_or(1ULL << word, std::memory_order_release);
    return true;
}

void PortMailbox::notify(std::uint32_t port) {
    const std::uint64_t one = 1;
    if (mark(port)) {
        (void)!::write(interrupt_, &one, sizeof(one));
    }
}

void PortMailbox::take(const std::function<void(std::uint32_t)>& call) {
    std::uint64_t selector = std::atomic_ref{mailbox_->to_vmm.selector}.exchange(0, std::memory_order_acquire);
    while (selector != 0) {
        const auto word = static_cast<std::uint32_t>(std::countr_zero(selector));
        selector &= selector - 1;
        std::uint64_t bits = std::atomic_ref{mailbox_->to_vmm.word[word]}.exchange(0, std::memory_order_acquire);
        while (bits != 0) {
            const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
            bits &= bits - 1;
            call(word * 64 + bit);
        }
    }
}

} // namespace parapet::vmm
