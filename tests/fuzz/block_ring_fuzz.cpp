// SPDX-License-Identifier: Apache-2.0
// Fuzz driver of the block rings: the input is a hostile frontend's program - requests of all shapes, raw bytes,
// indices, grant entries, frame types, changes while a request is looked at - against one queue, with the real grants.
// Each request that reaches the target is checked: inside the disk, inside granted frames of the guest. In the end
// nothing may be held. Build with clang, -DPARAPET_FUZZ=ON, target block_ring_fuzz; a short run is the test
// block_ring_fuzz_short.
#include "backends/disk/block_queue.hpp"
#include "iorings/grants/host_grants.hpp"
#include "pv-abi/frame_word.hpp"
#include "tests/unit/io/manual_io.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace {

using namespace parapet;

constexpr std::uint64_t frames = 64, first_own = 4, ring_frame = 8;
constexpr std::uint64_t disk_bytes = 1 << 20;
constexpr std::uint32_t ring_ref = 500, port = 1;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

/// Hands out the input piece by piece; zeroes after its end.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : data_{data}, left_{size} {}
    [[nodiscard]] bool empty() const { return left_ == 0; }
    std::uint8_t byte() {
        if (left_ == 0) {
            return 0;
        }
        --left_;
        return *data_++;
    }
    void fill(void* to, std::size_t size) {
        std::memset(to, 0, size);
        const std::size_t taken = std::min(size, left_);
        std::memcpy(to, data_, taken);
        data_ += taken, left_ -= taken;
    }
    std::uint32_t word() {
        std::uint32_t value = 0;
        fill(&value, sizeof value);
        return value;
    }

private:
    const std::uint8_t* data_;
    std::size_t left_;
};

alignas(4096) std::byte memory[frames * 4096];

/// Ends requests when the driver says so, and looks at each.
class CheckingTarget final : public disk::DiskTarget {
public:
    explicit CheckingTarget(Input& input, disk::Geometry geometry) : input_{input}, geometry_{geometry} {}
    [[nodiscard]] const disk::Geometry& geometry() const override { return geometry_; }
    void submit(disk::TargetRequest& request) override {
        check(request);
        waiting.push_back(&request);
        if (const std::uint8_t change = input_.byte(); change % 4 == 1) { // the guest goes on writing meanwhile
            memory[(ring_frame * 4096 + 64 + input_.byte() * 16u) % sizeof memory] = std::byte{input_.byte()};
        }
    }
    void finish(std::size_t index, int result) {
        disk::TargetRequest& request = *waiting[index];
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(index));
        check(request);
        if (request.operation == disk::Operation::read) {
            for (const iovec& part : request.segments) {
                std::memset(part.iov_base, 0xa5, part.iov_len);
            }
        }
        request.complete(result);
    }
    std::vector<disk::TargetRequest*> waiting;

private:
    void check(const disk::TargetRequest& request) const {
        require(request.offset % 512 == 0 && request.length % 512 == 0);
        require(request.offset <= disk_bytes && request.length <= disk_bytes - request.offset);
        require(request.operation == disk::Operation::read || !geometry_.read_only ||
                request.operation == disk::Operation::flush);
        if (request.operation != disk::Operation::read && request.operation != disk::Operation::write) {
            return;
        }
        std::uint64_t sum = 0;
        for (const iovec& part : request.segments) {
            const auto* start = static_cast<const std::byte*>(part.iov_base);
            require(start >= memory + first_own * 4096 && start < memory + sizeof memory);
            require(part.iov_len != 0 && part.iov_len <= static_cast<std::size_t>(memory + sizeof memory - start));
            sum += part.iov_len;
        }
        require(sum == request.length && sum != 0);
    }
    Input& input_;
    disk::Geometry geometry_;
};

class Driver {
public:
    Driver(const std::uint8_t* data, std::size_t size) : input_{data, size} {
        std::memset(memory, 0, sizeof memory);
        for (std::uint64_t mfn = first_own; mfn < frames; ++mfn) {
            set_frame(mfn, doorbell::FrameOwner::domain, doorbell::FrameType::writable);
        }
        mailbox_->grants.version = 1;
        mailbox_->grants.nr_frames = 1;
        mailbox_->grants.frames[0] = first_own;
        set_frame(first_own, doorbell::FrameOwner::shared, doorbell::FrameType::none);
    }

    void run() {
        const std::uint8_t shape = input_.byte(), more = input_.byte();
        spec_.read_only = (shape & 1) != 0;
        spec_.on_error = (shape & 2) != 0 ? disk::OnError::wait : disk::OnError::report;
        spec_.sector_size = (shape & 4) != 0 ? 4096 : 512;
        spec_.limits.iops = (more & 1) != 0 ? 1'000'000'000 : 0;
        geometry_.bytes = disk_bytes;
        geometry_.discard = (shape & 8) == 0;
        geometry_.read_only = (more & 2) != 0;
        io_.looks = (more & 4) != 0;
        wide_ = (shape & 16) == 0;
        pages_ = 1u << (shape >> 6);
        disk::QueueAttachment attachment;
        attachment.protocol = wide_ ? disk::Protocol::x86_64 : disk::Protocol::x86_32;
        attachment.port = port;
        attachment.persistent = (shape & 32) != 0;
        for (unsigned page = 0; page < pages_; ++page) {
            entry(ring_ref - page) = {abi::GTF_permit_access, 0, static_cast<std::uint32_t>(ring_frame + page)};
            grants::Lease lease;
            require(grants_->take(grants::GrantRef{ring_ref - page}, grants::GrantAccess::write, lease) ==
                    grants::GrantStatus::okay);
            attachment.pages.push_back(lease);
        }
        for (std::uint32_t ref = 8; ref < 48; ++ref) {
            entry(ref) = {abi::GTF_permit_access, 0, 16 + ref % 40};
        }
        CheckingTarget target{input_, geometry_};
        disk::Counters counters;
        {
            disk::BlockDevice device{io_,
                                     *grants_,
                                     target,
                                     spec_,
                                     counters,
                                     [](std::string_view) {},
                                     [this](const std::string&) { broken_ = true; }};
            disk::BlockQueue queue{device, std::move(attachment)};
            queue.start();
            while (!input_.empty()) {
                step(queue, target);
            }
            finish(queue, target);
        }
        require(grants_->in_use() == 0);
        require(std::ranges::all_of(host_use_, [](std::uint16_t uses) { return uses == 0; }));
    }

private:
    static abi::grant_entry_v1& entry(std::uint32_t ref) {
        return reinterpret_cast<abi::grant_entry_v1*>(memory + first_own * 4096)[ref % 512];
    }
    void set_frame(std::uint64_t mfn, doorbell::FrameOwner owner, doorbell::FrameType type) {
        doorbell::FrameWord word;
        word.set_owner(owner);
        word.set_type(type);
        frame_table_[mfn] = word.word;
    }
    [[nodiscard]] std::uint32_t& index(unsigned which) const {
        return reinterpret_cast<std::uint32_t*>(memory + ring_frame * 4096)[which % 4];
    }

    template <typename W>
    void put_request() {
        const std::uint8_t kind = input_.byte();
        alignas(8) std::byte slot[sizeof(abi::blkif_request_t<W>)]{};
        if (kind % 8 == 0) {
            input_.fill(slot, sizeof slot);
        } else if (kind % 8 == 1) {
            abi::blkif_request_indirect_t<W> request{};
            request.operation = abi::BLKIF_OP_INDIRECT;
            request.indirect_op = input_.byte() % 4;
            request.nr_segments = static_cast<std::uint16_t>(input_.byte() * 2);
            request.sector_number = input_.byte() * 8u;
            for (auto& ref : request.indirect_grefs) {
                ref = 8 + input_.byte() % 41;
            }
            std::memcpy(slot, &request, sizeof request);
        } else if (kind % 8 == 2) {
            abi::blkif_request_discard_t<W> request{};
            request.operation = abi::BLKIF_OP_DISCARD;
            request.sector_number = input_.byte() * 8u;
            request.nr_sectors = kind & 16 ? ~std::uint64_t{input_.byte()} : input_.byte() * 8u;
            std::memcpy(slot, &request, sizeof request);
        } else {
            abi::blkif_request_t<W> request{};
            request.operation = kind % 8 < 6 ? kind % 2 : kind % 8 - 4; // reads, writes, barriers, flushes
            request.nr_segments = input_.byte() % 13;
            request.id = input_.byte();
            request.sector_number = kind & 16 ? ~std::uint64_t{input_.byte()} : input_.byte() * 8u;
            for (unsigned segment = 0; segment < request.nr_segments && segment < std::size(request.seg); ++segment) {
                const std::uint8_t sectors = input_.byte();
                request.seg[segment] = {8u + input_.byte() % 41, static_cast<std::uint8_t>(sectors % 9),
                                        static_cast<std::uint8_t>(sectors / 9 % 9)};
                if (sectors > 128) {
                    request.seg[segment].first_sect = 0, request.seg[segment].last_sect = 7;
                }
            }
            std::memcpy(slot, &request, sizeof request);
        }
        const std::size_t slots = std::bit_floor((pages_ * 4096 - 64) / sizeof slot);
        std::memcpy(memory + ring_frame * 4096 + 64 + produced_++ % slots * sizeof slot, slot, sizeof slot);
    }

    void step(disk::BlockQueue& queue, CheckingTarget& target) {
        switch (const std::uint8_t what = input_.byte(); what % 16) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
            wide_ ? put_request<std::uint64_t>() : put_request<std::uint32_t>();
            break;
        case 5:
        case 6:
        case 7:
            index(0) = produced_;
            io_.kick(port);
            break;
        case 8:
            finish_rounds();
            break;
        case 9:
        case 10:
            if (!target.waiting.empty()) {
                static constexpr int results[] = {0, 0, 0, 0, -EIO, -ENOSPC, -EOPNOTSUPP, -EINVAL};
                target.finish(input_.byte() % target.waiting.size(), results[input_.byte() % std::size(results)]);
            }
            break;
        case 11:
            io_.fire_timers();
            break;
        case 12: { // a grant changes
            const std::uint32_t ref = 8 + input_.byte() % 41;
            input_.fill(&entry(ref), input_.byte() % 9);
            break;
        }
        case 13: // a frame becomes a table, or leaves the domain: the nucleus lets neither where the host writes
            if (const std::uint64_t mfn = 16 + input_.byte() % 40; host_use_[mfn] == 0) {
                set_frame(mfn, static_cast<doorbell::FrameOwner>(input_.byte() % 4),
                          static_cast<doorbell::FrameType>(input_.byte() % 7));
            }
            break;
        case 14: // an index, or any bytes of the ring's header
            index(input_.byte()) = what & 16 ? input_.word() : produced_ + input_.byte() % 64;
            io_.kick(port);
            break;
        case 15: { // any bytes of a data or ring page
            const std::size_t at = (ring_frame + input_.byte() % 48) * 4096 + input_.byte() * 16u;
            input_.fill(memory + at, 1 + input_.byte() % 32);
            break;
        }
        }
        if (broken_) {
            queue.stop();
        }
    }

    void finish_rounds() {
        while (!io_.idle()) {
            io_.round();
        }
    }

    void finish(disk::BlockQueue& queue, CheckingTarget& target) {
        bool drained = false;
        queue.drain([&] { drained = true; });
        unsigned turn = 0;
        while (!drained) {
            require(++turn < 10000);
            while (!target.waiting.empty()) {
                target.finish(target.waiting.size() - 1, turn % 3 == 0 ? 0 : -EIO);
            }
            finish_rounds();
            io_.fire_timers();
        }
        require(target.waiting.empty() && io_.idle() && !io_.timers_run());
    }

    Input input_;
    std::vector<std::uint64_t> frame_table_ = std::vector<std::uint64_t>(frames);
    std::vector<std::uint16_t> host_use_ = std::vector<std::uint16_t>(frames);
    std::unique_ptr<doorbell::Mailbox> mailbox_ = std::make_unique<doorbell::Mailbox>();
    std::unique_ptr<grants::HostGrants> grants_ =
        std::make_unique<grants::HostGrants>(GuestFrames{memory, frames, frames, frames}, *mailbox_,
                                             frame_table_.data(), host_use_.data(), frames, first_own);
    io::test::ManualIo io_;
    disk::DiskSpec spec_;
    disk::Geometry geometry_;
    bool wide_ = true, broken_ = false;
    unsigned pages_ = 1;
    std::uint32_t produced_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Driver{data, size}.run();
    return 0;
}
