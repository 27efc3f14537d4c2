// SPDX-License-Identifier: Apache-2.0
// Requests in.
#include "backends/disk/block_queue.hpp"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace parapet::disk {
namespace {

/// How many requests a queue takes in one go, before other devices have their turn.
constexpr unsigned most_in_a_row = 128;
/// A longer wait for the limits is cut into pieces, so that a queue that is drained meanwhile is not held up.
constexpr std::chrono::milliseconds longest_wait{100};

rings::RingPages pages_of(const QueueAttachment& attachment) {
    std::vector<std::byte*> pages;
    for (const auto& lease : attachment.pages) {
        pages.push_back(lease.page);
    }
    return rings::RingPages{std::move(pages)};
}

} // namespace

BlockQueue::BlockQueue(BlockDevice& device, QueueAttachment attachment)
    : device_{device}, attachment_{std::move(attachment)}, ring_{pages_of(attachment_), attachment_.protocol},
      grants_{device.grants, attachment_.persistent ? most_persistent_grants : 0}, requests_(ring_.slots()) {
    for (BlockRequest& request : requests_) {
        request.queue = this;
        request.grants.reserve(abi::BLKIF_MAX_SEGMENTS_PER_REQUEST);
        request.vectors.reserve(abi::BLKIF_MAX_SEGMENTS_PER_REQUEST);
        request.next = std::exchange(free_, &request);
    }
}

BlockQueue::~BlockQueue() {
    for (const auto& lease : attachment_.pages) {
        device_.grants.give_back(lease);
    }
}

void BlockQueue::start() {
    device_.io.bind_port(attachment_.port, [this] { serve(); });
    wake_.arm({}); // the frontend may have posted some before we came
}

void BlockQueue::Timer::arm(std::chrono::nanoseconds delay) {
    if (!std::exchange(armed_, true)) {
        queue_.device_.io.after(delay, *this);
    }
}

void BlockQueue::Timer::complete(int /*result*/, unsigned /*flags*/) {
    armed_ = false;
    (queue_.*what_)();
    queue_.check_drained();
}

/// Is the way free for the next request? Lets one through that waits, if its time has come.
bool BlockQueue::may_fetch() {
    if (stopped_ || draining_ || (throttled_ != nullptr && !release_throttled())) {
        return false;
    }
    if (barrier_ != nullptr && !barrier_started_ && active_ == 0) {
        start_barrier();
    }
    return barrier_ == nullptr;
}

/// True: serve() is called again soon, the guest need not signal.
bool BlockQueue::looks_again(bool found) {
    if (!patience_.look_again(found, active_ != 0, io::Patience::Clock::now(), device_.io.moment())) {
        return false;
    }
    if (!look_due_) {
        look_due_ = device_.io.look_again([this] {
            look_due_ = false;
            serve();
            check_drained();
        });
    }
    return look_due_;
}

void BlockQueue::serve() {
    bool found = false;
    for (unsigned left = most_in_a_row; may_fetch(); --left) {
        if (left == 0) { // also ends a race with a guest that moves its index to and fro
            wake_.arm({});
            return;
        }
        switch (ring_.fetch(incoming_)) {
        case BlkifRing::Fetch::none:
            if (looks_again(found) || !ring_.final_check()) {
                return;
            }
            break;
        case BlkifRing::Fetch::broken:
            device_.broken("the guest's ring index claims more requests than the ring has slots");
            return;
        case BlkifRing::Fetch::request:
            found = true;
            dispatch(incoming_);
            break;
        }
    }
}

void BlockQueue::dispatch(const RingRequest& in) {
    if (free_ == nullptr) { // as many as slots: the ring has not let more through
        return respond(in.id, in.operation, abi::BLKIF_RSP_ERROR);
    }
    BlockRequest& request = *std::exchange(free_, free_->next);
    request.id = in.id;
    request.ring_operation = in.operation;
    request.fua = request.write_follows = request.counted = request.waiting = false;
    request.segments = {};

    const char* refused = nullptr;
    bool supported = true;
    switch (in.operation) {
    case abi::BLKIF_OP_READ:
    case abi::BLKIF_OP_WRITE:
        refused = prepare_data(in, request);
        break;
    case abi::BLKIF_OP_WRITE_BARRIER:
    case abi::BLKIF_OP_FLUSH_DISKCACHE:
        refused = in.indirect ? "an indirect request can only read or write" : prepare_data(in, request);
        break;
    case abi::BLKIF_OP_DISCARD:
        supported = !in.indirect && device_.target.geometry().discard && device_.spec.discard.value_or(true);
        refused = supported ? prepare_discard(in, request) : nullptr;
        break;
    default:
        supported = false;
    }
    if (refused != nullptr || !supported) {
        if (refused != nullptr) {
            device_.counters.refused.add();
            device_.say("a request of the guest was refused (operation " + std::to_string(in.operation) + ", sector " +
                        std::to_string(in.sector) + "): " + refused);
        }
        release(request);
        return respond(in.id, in.operation, supported ? abi::BLKIF_RSP_ERROR : abi::BLKIF_RSP_EOPNOTSUPP);
    }
    admit(request);
}

/// Lets a checked request through to the target, or has it wait for its turn.
void BlockQueue::admit(BlockRequest& request) {
    if (device_.limits.any() && !request.counted) {
        throttled_ = &request;
        (void)release_throttled();
        return;
    }
    if (request.ring_operation == abi::BLKIF_OP_WRITE_BARRIER) {
        barrier_ = &request;
        barrier_started_ = false;
        return; // may_fetch() starts it
    }
    submit(request);
}

bool BlockQueue::release_throttled() {
    BlockRequest& request = *throttled_;
    const std::uint64_t length = request.write_follows ? request.data_length : request.length;
    const std::uint64_t moved = request.operation == Operation::discard ? 0 : length;
    if (const auto wait = device_.limits.wait(SharedLimits::Clock::now(), this, moved); wait.count() > 0) {
        device_.counters.throttled.add();
        wake_.arm(std::min<std::chrono::nanoseconds>(wait, longest_wait));
        return false;
    }
    device_.limits.pass(this, moved);
    request.counted = true;
    throttled_ = nullptr;
    admit(request);
    return true;
}

void BlockQueue::start_barrier() {
    barrier_started_ = true;
    submit(*barrier_);
}

void BlockQueue::submit(BlockRequest& request) {
    ++active_;
    device_.target.submit(request);
}

} // namespace parapet::disk
