// SPDX-License-Identifier: Apache-2.0
// The backend's end of a shared ring (xen/include/public/io/ring.h): requests one way, responses the other, in the same
// slots. The ring's pages are the guest's to scribble on at any time: what the backend owns (req_cons, rsp_prod) is
// kept here and only published; what the guest owns is read once and checked.
//
//   0        4         8        12        16    64                                pages x 4096
//   req_prod req_event rsp_prod rsp_event pad   slot 0 | slot 1 | ... | slot n-1    n: the largest power of two that
//   fits
//
// The pages of a ring need not be contiguous in memory, so slots are copied in and out (one may straddle two pages).
//
// Indices count for ever, modulo 2^32; a slot is an index modulo n. Always, as distances:
//
//   rsp_published ≤ rsp_prod ≤ req_cons ≤ req_prod_seen ≤ rsp_prod + n
//                 answered    taken, unanswered    to be taken
#pragma once

#include "iorings/grants/host_grants.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace parapet::rings {

/// A few frames that belong together, addressed as one range of bytes.
class RingPages {
public:
    RingPages() = default;
    explicit RingPages(std::vector<std::byte*> pages) : pages_{std::move(pages)} {}

    [[nodiscard]] std::size_t bytes() const { return pages_.size() * GuestFrames::frame_size; }
    /// Precondition of both: [offset, offset + length) lies inside.
    /// Each byte is read once: whatever is checked in the copy stays as it was checked.
    void read(std::size_t offset, void* to, std::size_t length) const {
        auto* out = static_cast<std::byte*>(to);
        while (length != 0) {
            const std::size_t in_page = offset % GuestFrames::frame_size;
            const std::size_t part = std::min(length, GuestFrames::frame_size - in_page);
            std::memcpy(out, pages_[offset / GuestFrames::frame_size] + in_page, part);
            out += part, offset += part, length -= part;
        }
        std::atomic_signal_fence(std::memory_order_seq_cst); // keeps the compiler from reading the page again later
    }
    void write(std::size_t offset, const void* from, std::size_t length) const {
        const auto* in = static_cast<const std::byte*>(from);
        while (length != 0) {
            const std::size_t in_page = offset % GuestFrames::frame_size;
            const std::size_t part = std::min(length, GuestFrames::frame_size - in_page);
            std::memcpy(pages_[offset / GuestFrames::frame_size] + in_page, in, part);
            in += part, offset += part, length -= part;
        }
    }
    /// A control word of the first page; `offset` is a multiple of 4.
    [[nodiscard]] std::atomic_ref<std::uint32_t> word(std::size_t offset) const {
        return std::atomic_ref{*reinterpret_cast<std::uint32_t*>(pages_[0] + offset)};
    }

private:
    std::vector<std::byte*> pages_;
};

/// Request and Response are trivially copyable structures of the ABI; a slot is a union of both.
template <typename Request, typename Response>
class SharedRing {
    union Slot {
        Request request;
        Response response;
    };

public:
    static_assert(std::is_trivially_copyable_v<Request> && std::is_trivially_copyable_v<Response>);
    static constexpr std::size_t slot_size = sizeof(Slot);
    static constexpr std::size_t header_size = 64;

    /// A ring without slots: there is never a request. Nothing else may be asked of it.
    SharedRing() = default;
    /// Attaches to a ring that a frontend has initialised, from its beginning: a frontend that comes back starts anew.
    /// Precondition: at least one page.
    explicit SharedRing(RingPages pages)
        : pages_{std::move(pages)}, slots_{std::bit_floor(
                                        static_cast<std::uint32_t>((pages_.bytes() - header_size) / slot_size))} {
        rsp_prod_ = pages_.word(rsp_prod_at).load(std::memory_order_acquire);
        req_cons_ = req_prod_seen_ = rsp_published_ = rsp_prod_;
    }

    [[nodiscard]] std::uint32_t slots() const { return slots_; }

    enum class Fetch { none, request, broken };
    /// Takes the next request. broken: the guest's index went back, or claims more requests than there are slots
    /// without a response.
    [[nodiscard]] Fetch fetch(Request& request) {
        if (req_cons_ == req_prod_seen_) {
            if (slots_ == 0) {
                return Fetch::none;
            }
            const std::uint32_t req_prod = pages_.word(req_prod_at).load(std::memory_order_acquire);
            if (!possible(req_prod)) {
                return Fetch::broken;
            }
            req_prod_seen_ = req_prod;
            if (req_cons_ == req_prod) {
                return Fetch::none;
            }
        }
        pages_.read(slot_offset(req_cons_++), &request, sizeof(Request));
        return Fetch::request;
    }
    /// Would the next fetch() beyond what was seen find the index broken? For who does not fetch now.
    [[nodiscard]] bool broken() const {
        return slots_ != 0 && !possible(pages_.word(req_prod_at).load(std::memory_order_acquire));
    }
    /// Asks for a signal at the next request; without, the guest sends none. True: some came meanwhile, go on fetching.
    [[nodiscard]] bool final_check() {
        pages_.word(req_event_at).store(req_cons_ + 1, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        return pages_.word(req_prod_at).load(std::memory_order_acquire) != req_cons_;
    }
    /// Puts a response; the guest sees it after publish(). Precondition: unanswered() != 0. Give the request's grants
    /// back before.
    void respond(const Response& response) { pages_.write(slot_offset(rsp_prod_++), &response, sizeof(Response)); }
    /// Shows the guest all responses so far. True: it wants a signal.
    [[nodiscard]] bool publish() {
        const std::uint32_t before = rsp_published_;
        pages_.word(rsp_prod_at).store(rsp_prod_, std::memory_order_release);
        rsp_published_ = rsp_prod_;
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const std::uint32_t event = pages_.word(rsp_event_at).load(std::memory_order_relaxed);
        return rsp_prod_ - event < rsp_prod_ - before;
    }
    /// Requests taken and not yet answered.
    [[nodiscard]] std::uint32_t unanswered() const { return req_cons_ - rsp_prod_; }

private:
    [[nodiscard]] bool possible(std::uint32_t req_prod) const { return req_prod - req_cons_ <= slots_ - unanswered(); }
    static constexpr std::size_t req_prod_at = 0, req_event_at = 4, rsp_prod_at = 8, rsp_event_at = 12;
    [[nodiscard]] std::size_t slot_offset(std::uint32_t index) const {
        return header_size + (index & (slots_ - 1)) * slot_size;
    }

    RingPages pages_;
    std::uint32_t slots_ = 0;
    std::uint32_t req_cons_ = 0, req_prod_seen_ = 0, rsp_prod_ = 0, rsp_published_ = 0;
};

} // namespace parapet::rings
