// SPDX-License-Identifier: Apache-2.0
// A frontend of one ring, as a guest of width W would drive it; and as a hostile one would.
#pragma once

#include "pv-abi/blkif.hpp"
#include "tests/unit/disk/fake_guest.hpp"

#include <bit>
#include <cstring>
#include <optional>
#include <thread>

namespace parapet::disk_test {

inline const std::string frontend_path = "/local/domain/1/device/vbd/51712";

template <typename W = std::uint64_t>
class Frontend {
public:
    using Request = abi::blkif_request_t<W>;
    using Response = abi::blkif_response_t<W>;

    Frontend(FakeGuest& guest, unsigned page_order, std::uint32_t port_) : port{port_}, guest_{guest} {
        const std::uint64_t count = std::uint64_t{1} << page_order;
        // Not next to one another, so that nothing may take them for contiguous.
        for (std::uint64_t index = 0; index < count; ++index) {
            pages_.push_back(guest.allocate(2));
            refs.push_back(guest.grant(pages_.back()));
        }
        slots = std::bit_floor(static_cast<std::uint32_t>((count * 4096 - 64) / sizeof(Request)));
        word(4).store(1);
        word(12).store(1);
    }

    /// Words of the ring's first page: 0 req_prod, 4 req_event, 8 rsp_prod, 12 rsp_event.
    [[nodiscard]] std::atomic_ref<std::uint32_t> word(std::size_t at) const {
        return std::atomic_ref{*reinterpret_cast<std::uint32_t*>(guest_.page(pages_[0]) + at)};
    }

    void put(const void* request, std::size_t size) { put_at(produced_++, request, size); }
    void put_at(std::uint32_t index, const void* request, std::size_t size) {
        const std::size_t at = 64 + (index & (slots - 1)) * sizeof(Request);
        for (std::size_t byte = 0; byte < size; ++byte) {
            guest_.page(pages_[(at + byte) / 4096])[(at + byte) % 4096] = static_cast<const std::byte*>(request)[byte];
        }
    }
    template <typename Any>
    void put(const Any& request) {
        put(&request, sizeof request);
    }
    void push() {
        word(0).store(produced_);
        guest_.kick(port);
    }
    void push_silently() { word(0).store(produced_); }
    /// Signals only where the backend asked for it, as RING_PUSH_REQUESTS_AND_CHECK_NOTIFY does. True: it did.
    bool push_as_asked() {
        const std::uint32_t before = word(0).exchange(produced_);
        const bool asked = produced_ - word(4).load() < produced_ - before;
        if (asked) {
            guest_.kick(port);
        }
        return asked;
    }
    template <typename Any>
    void post(const Any& request) {
        put(request);
        push();
    }

    /// Nothing: none came in time.
    std::optional<Response> response(std::chrono::milliseconds limit = 10s) {
        const auto end = std::chrono::steady_clock::now() + limit;
        while (word(8).load() == consumed_) {
            if (std::chrono::steady_clock::now() > end) {
                return std::nullopt;
            }
            std::this_thread::sleep_for(100us);
        }
        const std::size_t at = 64 + (consumed_++ & (slots - 1)) * sizeof(Request);
        Response response;
        auto* bytes = reinterpret_cast<std::byte*>(&response);
        for (std::size_t index = 0; index < sizeof response; ++index) {
            bytes[index] = guest_.page(pages_[(at + index) / 4096])[(at + index) % 4096];
        }
        word(12).store(consumed_ + 1);
        return response;
    }
    std::int16_t status() {
        const auto got = response();
        return got ? got->status : std::int16_t{-99};
    }

    [[nodiscard]] static Request request(std::uint8_t operation, std::uint64_t id, std::uint64_t sector) {
        Request made{};
        made.operation = operation;
        made.id = id;
        made.sector_number = sector;
        return made;
    }
    static void add(Request& request, std::uint32_t ref, std::uint8_t first = 0, std::uint8_t last = 7) {
        request.seg[request.nr_segments++] = {ref, first, last};
    }

    std::vector<std::uint32_t> refs;
    std::uint32_t slots = 0, port;

private:
    FakeGuest& guest_;
    std::vector<std::uint64_t> pages_;
    std::uint32_t produced_ = 0, consumed_ = 0;
};

} // namespace parapet::disk_test
