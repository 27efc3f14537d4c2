// SPDX-License-Identifier: Apache-2.0
// One ring of a disk: takes requests out, checks them, hands them to the target, answers in any order.
//
//   doorbell ─▶ serve: fetch ─▶ check ─▶ take grants ─▶ limits ─▶ target.submit
//                                  │ refused                            │ later, in any order
//                                  ▼                                    ▼
//             end of round:  publish, notify  ◀── respond ◀── give back grants ◀── completed
//
// A barrier waits for all before it, and all after it wait for the barrier. On the I/O thread only.
#pragma once

#include "backends/disk/blkif_ring.hpp"
#include "backends/disk/block_device.hpp"
#include "backends/disk/block_request.hpp"
#include "backends/disk/grant_cache.hpp"
#include "backends/io/patience.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace parapet::disk {

inline constexpr unsigned most_indirect_segments = 256;
inline constexpr unsigned most_persistent_grants = 1056; ///< of a queue

/// What the frontend named for a queue, taken.
struct QueueAttachment {
    std::vector<grants::Lease> pages; ///< given back by the queue
    Protocol protocol = Protocol::x86_64;
    std::uint32_t port = 0;
    bool persistent = false;
};

class BlockQueue {
public:
    BlockQueue(BlockDevice& device, QueueAttachment attachment);
    BlockQueue(const BlockQueue&) = delete;
    BlockQueue& operator=(const BlockQueue&) = delete;
    /// Precondition: drained, or never started.
    ~BlockQueue();

    void start();
    /// Touches the ring no more; what is under way ends without an answer.
    void stop() { stopped_ = true; }
    /// Answers what is posted, takes no more requests, and calls `drained` when none is under way. Not from inside
    /// itself: soon or later.
    void drain(std::function<void()> drained);
    [[nodiscard]] std::size_t grants_kept() const { return grants_.kept(); }

    void completed(BlockRequest& request, int result);

private:
    class Timer final : public io::Completion {
    public:
        Timer(BlockQueue& queue, void (BlockQueue::*what)()) : queue_{queue}, what_{what} {}
        void arm(std::chrono::nanoseconds delay);
        [[nodiscard]] bool armed() const { return armed_; }
        void complete(int result, unsigned flags) override;

    private:
        BlockQueue& queue_;
        void (BlockQueue::*what_)();
        bool armed_ = false;
    };

    // Requests in: block_queue.cpp.
    void serve();
    [[nodiscard]] bool may_fetch();
    [[nodiscard]] bool looks_again(bool found);
    void dispatch(const RingRequest& in);
    void admit(BlockRequest& request);
    [[nodiscard]] bool release_throttled();
    void submit(BlockRequest& request);
    void start_barrier();

    // Checks: request_checks.cpp. Nothing, or why the request is refused.
    [[nodiscard]] const char* prepare_data(const RingRequest& in, BlockRequest& request);
    [[nodiscard]] const char* prepare_discard(const RingRequest& in, BlockRequest& request);
    [[nodiscard]] const char* read_indirect(const RingRequest& in);
    [[nodiscard]] const char* check_range(std::uint64_t sector, std::uint64_t count) const;
    [[nodiscard]] const char* take_segments(std::span<const abi::blkif_request_segment> segments, bool write,
                                            BlockRequest& request);

    // Answers out: request_end.cpp.
    void finish(BlockRequest& request, int result);
    void release(BlockRequest& request);
    void respond(std::uint64_t id, std::uint8_t operation, std::int16_t status);
    void at_end_of_round();
    void end_of_round();
    void publish();
    void retry_all();
    void check_drained();
    void refuse_posted();

    BlockDevice& device_;
    QueueAttachment attachment_;
    BlkifRing ring_;
    GrantCache grants_;
    std::vector<BlockRequest> requests_; ///< never resized: they are pointed at
    BlockRequest* free_ = nullptr;
    BlockRequest* throttled_ = nullptr; ///< waits for the disk's limits; nothing passes it
    BlockRequest* barrier_ = nullptr;   ///< nothing passes it
    BlockRequest* failed_ = nullptr;    ///< to be tried again (on-error=wait)
    unsigned active_ = 0;               ///< given to the target, or to be tried again
    bool barrier_started_ = false;
    bool stopped_ = false, draining_ = false, deferred_ = false, unpublished_ = false, look_due_ = false;
    io::Patience patience_;
    std::function<void()> drained_; ///< until it was called
    Timer wake_{*this, &BlockQueue::serve};
    Timer retry_{*this, &BlockQueue::retry_all};
    RingRequest incoming_;
    std::array<abi::blkif_request_segment, most_indirect_segments> indirect_{};
};

} // namespace parapet::disk
