// SPDX-License-Identifier: Apache-2.0
// Index arithmetic and copying of the console ring.
#include "backends/console/console_ring.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace parapet::console {
namespace {

constexpr std::uint32_t in_size = sizeof(xencons_interface::in);
constexpr std::uint32_t out_size = sizeof(xencons_interface::out);

/// Bytes that lie in one piece from `index` on, at most `wanted`.
std::size_t piece(std::uint32_t index, std::uint32_t size, std::size_t wanted) {
    return std::min<std::size_t>(wanted, size - index % size);
}

} // namespace

ConsoleRing::ConsoleRing(xencons_interface& shared)
    : shared_{&shared}, out_cons_{std::atomic_ref{shared.out_cons}.load()},
      in_prod_{std::atomic_ref{shared.in_prod}.load()} {}

RingMove ConsoleRing::take_output(std::span<char> to) {
    // Acquire: the bytes were written before the index.
    const std::uint32_t prod = std::atomic_ref{shared_->out_prod}.load(std::memory_order_acquire);
    const std::uint32_t pending = prod - out_cons_;
    RingMove move;
    if (pending > out_size) {
        out_cons_ = prod;
        move = {.bytes = 0, .notify = true, .broken = true};
    } else {
        const std::size_t wanted = std::min<std::size_t>(pending, to.size());
        const std::size_t first = piece(out_cons_, out_size, wanted);
        std::memcpy(to.data(), shared_->out + out_cons_ % out_size, first);
        std::memcpy(to.data() + first, shared_->out, wanted - first);
        out_cons_ += static_cast<std::uint32_t>(wanted);
        move = {.bytes = wanted, .notify = false, .broken = false};
    }
    // The guest may reuse the room only after the bytes were copied out. And the index first, then the look at the
    // ring: a guest that finds no room and sleeps has either seen the index or is seen here.
    const std::uint32_t before = prod - pending;
    std::atomic_ref{shared_->out_cons}.store(out_cons_, std::memory_order_seq_cst);
    const std::uint32_t filled = std::atomic_ref{shared_->out_prod}.load(std::memory_order_seq_cst) - before;
    // Nothing tells us for how much room a guest sleeps; with half of the ring free it has no reason to. Telling it of
    // every byte would cost an event each, and Linux's console never sleeps.
    move.notify = move.broken || (move.bytes != 0 && filled > out_size / 2);
    return move;
}

RingMove ConsoleRing::put_input(std::span<const char> from) {
    // Acquire: the guest has read the bytes before it moved its index.
    const std::uint32_t cons = std::atomic_ref{shared_->in_cons}.load(std::memory_order_acquire);
    const std::uint32_t unread = in_prod_ - cons;
    if (unread > in_size) {
        return {.bytes = 0, .notify = false, .broken = true};
    }
    const std::size_t wanted = std::min<std::size_t>(in_size - unread, from.size());
    if (wanted == 0) {
        return {};
    }
    const std::size_t first = piece(in_prod_, in_size, wanted);
    std::memcpy(shared_->in + in_prod_ % in_size, from.data(), first);
    std::memcpy(shared_->in, from.data() + first, wanted - first);
    in_prod_ += static_cast<std::uint32_t>(wanted);
    std::atomic_ref{shared_->in_prod}.store(in_prod_, std::memory_order_release);
    return {.bytes = wanted, .notify = true, .broken = false};
}

} // namespace parapet::console
