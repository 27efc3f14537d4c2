// SPDX-License-Identifier: Apache-2.0
// Answers out, second tries, and the end of a queue.
#include "backends/disk/block_queue.hpp"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace parapet::disk {
namespace {

constexpr std::chrono::milliseconds retry_interval{500};

/// An error that another try does not mend.
bool is_final(int result) {
    return result == -EOPNOTSUPP || result == -EINVAL || result == -EROFS || result == -ENOTRECOVERABLE;
}

const char* verb(Operation operation) {
    switch (operation) {
    case Operation::read:
        return "reading";
    case Operation::write:
        return "writing";
    case Operation::flush:
        return "flushing";
    case Operation::discard:
        return "discarding";
    case Operation::write_zeroes:
        return "zeroing";
    }
    return "";
}

std::string failure(const BlockRequest& request, int result) {
    return std::string{verb(request.operation)} + " " + std::to_string(request.length) + " bytes at " +
           std::to_string(request.offset) + " failed: " +
           (result == beyond_end ? "the image ends before it, as it was truncated" : std::strerror(-result));
}

} // namespace

void BlockRequest::complete(int result) {
    queue->completed(*this, result);
}

void BlockQueue::completed(BlockRequest& request, int result) {
    if (result < 0) {
        device_.counters.errors.add();
        if (device_.spec.on_error == OnError::wait && !is_final(result) && !draining_ && !stopped_) {
            if (!std::exchange(request.waiting, true)) {
                device_.begins_to_wait(failure(request, result));
            }
            request.next = std::exchange(failed_, &request);
            retry_.arm(retry_interval);
            return;
        }
        device_.say(failure(request, result));
    }
    if (std::exchange(request.waiting, false)) {
        device_.waits_no_more(result == 0);
    }
    if (result == 0 && std::exchange(request.write_follows, false)) {
        request.operation = Operation::write;
        request.length = request.data_length;
        request.fua = true;
        device_.target.submit(request);
        return;
    }
    --active_;
    finish(request, result);
}

void BlockQueue::finish(BlockRequest& request, int result) {
    Counters& counters = device_.counters;
    switch (request.ring_operation) {
    case abi::BLKIF_OP_READ:
        counters.reads.add();
        counters.bytes_read.add(result == 0 ? request.length : 0);
        break;
    case abi::BLKIF_OP_WRITE:
        counters.writes.add();
        counters.bytes_written.add(result == 0 ? request.length : 0);
        break;
    case abi::BLKIF_OP_DISCARD:
        counters.discards.add();
        counters.bytes_discarded.add(result == 0 ? request.length : 0);
        break;
    default:
        counters.flushes.add();
        counters.bytes_written.add(result == 0 ? request.length : 0);
        break;
    }
    if (barrier_ == &request) {
        barrier_ = nullptr;
    }
    const std::uint64_t id = request.id;
    const std::uint8_t operation = request.ring_operation;
    release(request); // before the answer: then the guest may take its grants back
    respond(id, operation,
            result == 0 ? abi::BLKIF_RSP_OKAY
            : result == -EOPNOTSUPP && operation != abi::BLKIF_OP_READ && operation != abi::BLKIF_OP_WRITE
                ? abi::BLKIF_RSP_EOPNOTSUPP
                : abi::BLKIF_RSP_ERROR);
}

void BlockQueue::release(BlockRequest& request) {
    for (const HeldGrant& held : request.grants) {
        grants_.give_back(held);
    }
    request.grants.clear();
    request.vectors.clear();
    request.next = std::exchange(free_, &request);
}

void BlockQueue::respond(std::uint64_t id, std::uint8_t operation, std::int16_t status) {
    if (!stopped_) {
        ring_.respond(id, operation, status);
        unpublished_ = true;
    }
    at_end_of_round();
}

void BlockQueue::at_end_of_round() {
    if (!std::exchange(deferred_, true)) {
        device_.io.defer([this] { end_of_round(); });
    }
}

void BlockQueue::end_of_round() {
    publish();
    serve(); // what the guest posted meanwhile, or what waited for a barrier
    publish();
    deferred_ = false;
    check_drained();
}

void BlockQueue::publish() {
    if (std::exchange(unpublished_, false) && !stopped_ && ring_.publish()) {
        device_.counters.signals.add();
        device_.io.notify(attachment_.port);
    }
}

/// Another try for all that failed; when the queue is being drained, their end.
void BlockQueue::retry_all() {
    BlockRequest* list = std::exchange(failed_, nullptr);
    while (list != nullptr) {
        BlockRequest& request = *std::exchange(list, list->next);
        if (draining_ || stopped_) {
            request.waiting = false;
            device_.waits_no_more(false);
            --active_;
            finish(request, -EIO);
        } else {
            device_.counters.retries.add();
            device_.target.submit(request);
        }
    }
}

void BlockQueue::drain(std::function<void()> drained) {
    device_.io.unbind_port(attachment_.port);
    // The frontend says that it is closed in another way than it posts requests, so the last of them may not have been
    // seen yet. Linux waits for an answer to each before it gives the disk up.
    serve();
    draining_ = true;
    drained_ = std::move(drained);
    for (BlockRequest** waiting : {&throttled_, &barrier_}) {
        if (*waiting != nullptr && !(waiting == &barrier_ && barrier_started_)) {
            BlockRequest& request = *std::exchange(*waiting, nullptr);
            release(request);
            respond(request.id, request.ring_operation, abi::BLKIF_RSP_ERROR);
        }
    }
    refuse_posted();
    device_.limits.leave(this);
    retry_all();
    wake_.arm({}); // check_drained() from there
}

/// What nobody will carry out any more.
void BlockQueue::refuse_posted() {
    for (std::uint32_t left = ring_.slots(); left != 0 && !stopped_; --left) {
        if (ring_.fetch(incoming_) != BlkifRing::Fetch::request) {
            return;
        }
        respond(incoming_.id, incoming_.operation, abi::BLKIF_RSP_ERROR);
    }
}

void BlockQueue::check_drained() {
    if (drained_ && active_ == 0 && !deferred_ && !look_due_ && !wake_.armed() && !retry_.armed()) {
        std::exchange(drained_, nullptr)();
    }
}

} // namespace parapet::disk
