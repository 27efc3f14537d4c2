// SPDX-License-Identifier: Apache-2.0
#include "vmm/port_mailbox.hpp"

#include <algorithm>
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
    std::atomic_ref{mailbox_->to_nucleus.selector}.fetch_or(1ULL << word % 64, std::memory_order_release);
    return true;
}

void PortMailbox::notify(std::uint32_t port) {
    const std::uint64_t one = 1;
    if (mark(port)) {
        (void)!::write(interrupt_, &one, sizeof(one));
    }
}

void PortMailbox::take(const std::function<void(std::uint32_t)>& call) {
    constexpr std::uint32_t words_per_row = doorbell::PORT_ROW / 64;
    std::uint64_t selector = std::atomic_ref{mailbox_->to_vmm.selector}.exchange(0, std::memory_order_acquire);
    const std::uint32_t rows =
        std::clamp(std::atomic_ref{mailbox_->port_rows}.load(std::memory_order_acquire), 1U, doorbell::MAX_PORT_ROWS);
    while (selector != 0) {
        const auto first = static_cast<std::uint32_t>(std::countr_zero(selector));
        selector &= selector - 1;
        for (std::uint32_t row = 0; row < rows; row++) {
            take_word(row * words_per_row + first, call);
        }
    }
}

void PortMailbox::take_word(std::uint32_t word, const std::function<void(std::uint32_t)>& call) {
    const std::atomic_ref bitmap{mailbox_->to_vmm.word[word]};
    if (bitmap.load(std::memory_order_relaxed) == 0) {
        return;
    }
    std::uint64_t bits = bitmap.exchange(0, std::memory_order_acquire);
    while (bits != 0) {
        const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
        bits &= bits - 1;
        call(word * 64 + bit);
    }
}

} // namespace parapet::vmm
