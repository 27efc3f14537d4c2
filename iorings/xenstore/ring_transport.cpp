// SPDX-License-Identifier: Apache-2.0
// Moves bytes between a guest's store page and a Connection.
//
// Linux signals only when it must: after writing requests if the host had taken all before, after reading replies if
// the ring was full. So the host must look again after publishing its index, with a full fence between (each side
// stores its own index, then loads the other's): pump() ends only when such a second look found nothing, or says
// `again`.
#include "iorings/xenstore/ring_transport.hpp"

#include <algorithm>
#include <array>
#include <atomic>

namespace parapet::xenstore {
namespace {

constexpr std::uint32_t ring_size = abi::XENSTORE_RING_SIZE;
constexpr int rounds_per_pump = 16;

std::uint32_t load(std::uint32_t& word) {
    return std::atomic_ref{word}.load(std::memory_order_acquire);
}

void store(std::uint32_t& word, std::uint32_t value) {
    std::atomic_ref{word}.store(value, std::memory_order_release);
}

// The guest may write these bytes at the same time, hence byte-wise atomics instead of memcpy.
void copy_from_ring(char* ring, std::uint32_t index, std::span<std::byte> to) {
    for (std::byte& byte : to)
        byte = static_cast<std::byte>(
            std::atomic_ref{ring[abi::MASK_XENSTORE_IDX(index++)]}.load(std::memory_order_relaxed));
}

void copy_to_ring(char* ring, std::uint32_t index, std::span<const std::byte> from) {
    for (const std::byte byte : from)
        std::atomic_ref{ring[abi::MASK_XENSTORE_IDX(index++)]}.store(static_cast<char>(byte),
                                                                     std::memory_order_relaxed);
}

} // namespace

RingTransport::RingTransport(Connection& connection, void* page, Log log)
    : connection_{connection}, page_{static_cast<abi::xenstore_domain_interface*>(page)}, log_{std::move(log)} {
    for (auto* word : {&page_->req_cons, &page_->req_prod, &page_->rsp_cons, &page_->rsp_prod})
        store(*word, 0);
    store(page_->error, abi::XENSTORE_ERROR_NONE);
    store(page_->connection, abi::XENSTORE_CONNECTED);
    store(page_->server_features, abi::XENSTORE_SERVER_FEATURE_RECONNECTION | abi::XENSTORE_SERVER_FEATURE_ERROR);
}

PumpResult RingTransport::pump() {
    PumpResult result;
    const bool was_broken = broken_;
    for (int round = 0; round < rounds_per_pump; ++round) {
        const bool anew = reconnect_if_asked();
        const bool taken = take_requests();
        const bool given = give_replies();
        if (broken_ != was_broken)
            result.notify = true;
        if (!anew && !taken && !given)
            return result;
        result.notify = true;
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    result.again = true;
    return result;
}

bool RingTransport::take_requests() {
    if (broken_)
        return false;
    const std::uint32_t available = load(page_->req_prod) - req_cons_;
    if (available > ring_size) {
        mark_broken(abi::XENSTORE_ERROR_RINGIDX, "the guest's request index is out of range");
        return false;
    }
    std::array<std::byte, ring_size> bytes;
    const auto input = std::span{bytes}.first(available);
    copy_from_ring(page_->req, req_cons_, input);
    const auto taken = static_cast<std::uint32_t>(connection_.feed(input));
    if (connection_.broken()) {
        mark_broken(abi::XENSTORE_ERROR_PROTO, "the guest sent a message longer than the protocol allows");
        return false;
    }
    req_cons_ += taken;
    if (taken > 0)
        store(page_->req_cons, req_cons_);
    return taken > 0;
}

bool RingTransport::give_replies() {
    bool given = false;
    if (broken_)
        return false;
    const std::uint32_t used = rsp_prod_ - load(page_->rsp_cons);
    if (used > ring_size) {
        mark_broken(abi::XENSTORE_ERROR_RINGIDX, "the guest's reply index is out of range");
        return false;
    }
    for (std::size_t room = ring_size - used; room > 0;) {
        auto output = connection_.output();
        output = output.first(std::min(output.size(), room));
        if (output.empty())
            break;
        copy_to_ring(page_->rsp, rsp_prod_, output);
        rsp_prod_ += static_cast<std::uint32_t>(output.size());
        room -= output.size();
        connection_.consume_output(output.size());
        given = true;
    }
    if (given)
        store(page_->rsp_prod, rsp_prod_);
    return given;
}

bool RingTransport::reconnect_if_asked() {
    if (load(page_->connection) != abi::XENSTORE_RECONNECT)
        return false;
    connection_.reset();
    broken_ = false;
    req_cons_ = rsp_prod_ = 0;
    for (auto* word : {&page_->req_cons, &page_->req_prod, &page_->rsp_cons, &page_->rsp_prod})
        store(*word, 0);
    store(page_->error, abi::XENSTORE_ERROR_NONE);
    store(page_->connection, abi::XENSTORE_CONNECTED);
    return true;
}

void RingTransport::mark_broken(std::uint32_t error, std::string_view why) {
    broken_ = true;
    connection_.reset();
    store(page_->error, error);
    if (log_)
        log_(std::string{"connection stopped: "}.append(why).append("; only a reconnect helps."));
}

} // namespace parapet::xenstore
