// SPDX-License-Identifier: Apache-2.0
// What a request must be to reach the target. It was copied out of the ring before; indirect segments are copied here.
#include "backends/disk/block_queue.hpp"

#include <cstring>

namespace parapet::disk {
namespace {

constexpr unsigned sectors_per_frame = GuestFrames::frame_size / sector_bytes;
constexpr unsigned segments_per_frame = GuestFrames::frame_size / sizeof(abi::blkif_request_segment);
static_assert(most_indirect_segments <= segments_per_frame * abi::BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST);

bool in_frame(const abi::blkif_request_segment& segment) {
    return segment.first_sect <= segment.last_sect && segment.last_sect < sectors_per_frame;
}

bool granted(const grants::Lease& lease, std::size_t first, std::size_t end) {
    return lease.first <= first && end <= lease.end;
}

} // namespace

const char* BlockQueue::check_range(std::uint64_t sector, std::uint64_t count) const {
    if (count > device_.sectors || sector > device_.sectors - count) {
        return "it goes past the end of the disk";
    }
    if (sector % device_.block_sectors != 0 || count % device_.block_sectors != 0) {
        return "it is no multiple of the disk's sector size";
    }
    return nullptr;
}

const char* BlockQueue::prepare_discard(const RingRequest& in, BlockRequest& request) {
    if (device_.spec.read_only || device_.target.geometry().read_only) {
        return "the disk is read-only";
    }
    if (in.nr_sectors == 0) {
        return "it discards nothing";
    }
    if (const char* refused = check_range(in.sector, in.nr_sectors)) {
        return refused;
    }
    request.operation = Operation::discard;
    request.offset = in.sector * sector_bytes;
    request.length = in.nr_sectors * sector_bytes;
    return nullptr;
}

/// Read, write, barrier, flush; the last two with or without data.
const char* BlockQueue::prepare_data(const RingRequest& in, BlockRequest& request) {
    const bool flushes = in.operation == abi::BLKIF_OP_WRITE_BARRIER || in.operation == abi::BLKIF_OP_FLUSH_DISKCACHE;
    const bool write = in.operation != abi::BLKIF_OP_READ;
    if (flushes && in.nr_segments == 0) {
        request.operation = Operation::flush;
        request.offset = request.length = 0;
        return nullptr;
    }
    if (write && (device_.spec.read_only || device_.target.geometry().read_only)) {
        return "the disk is read-only";
    }
    const unsigned most = in.indirect ? most_indirect_segments : abi::BLKIF_MAX_SEGMENTS_PER_REQUEST;
    if (in.nr_segments == 0 || in.nr_segments > most) {
        return "it has no segments, or too many";
    }
    if (in.indirect) {
        if (const char* refused = read_indirect(in)) {
            return refused;
        }
        device_.counters.indirect.add();
    }
    const std::span segments{in.indirect ? indirect_.data() : in.segments.data(), in.nr_segments};
    std::uint64_t sectors = 0;
    for (const auto& segment : segments) {
        if (!in_frame(segment)) {
            return "a segment names sectors outside its frame";
        }
        sectors += segment.last_sect - segment.first_sect + 1u;
    }
    if (const char* refused = check_range(in.sector, sectors)) {
        return refused;
    }
    if (const char* refused = take_segments(segments, !write, request)) {
        return refused;
    }
    request.operation = flushes ? Operation::flush : write ? Operation::write : Operation::read;
    request.write_follows = flushes;
    request.offset = in.sector * sector_bytes;
    request.length = flushes ? 0 : sectors * sector_bytes;
    request.data_length = sectors * sector_bytes;
    request.segments = request.vectors;
    return nullptr;
}

/// Copies the segments out of the guest's pages, once.
const char* BlockQueue::read_indirect(const RingRequest& in) {
    for (unsigned done = 0; done < in.nr_segments; done += segments_per_frame) {
        const std::size_t count = std::min(in.nr_segments - done, segments_per_frame);
        const std::size_t bytes = count * sizeof(abi::blkif_request_segment);
        HeldGrant held;
        const grants::GrantRef ref{in.indirect_refs[done / segments_per_frame]};
        if (grants_.take(ref, grants::GrantAccess::read, held) != grants::GrantStatus::okay) {
            return "an indirect page is not granted";
        }
        const bool whole = granted(held.lease, 0, bytes);
        if (whole) {
            std::memcpy(indirect_.data() + done, held.lease.page, bytes);
        }
        grants_.give_back(held);
        if (!whole) {
            return "an indirect page is not granted in full";
        }
    }
    return nullptr;
}

/// Takes the frames' grants and lists their memory; what was taken before a refusal is released with the request.
const char* BlockQueue::take_segments(std::span<const abi::blkif_request_segment> segments, bool write,
                                      BlockRequest& request) {
    const auto access = write ? grants::GrantAccess::write : grants::GrantAccess::read;
    for (const auto& segment : segments) {
        HeldGrant held;
        const auto status = grants_.take(grants::GrantRef{segment.gref}, access, held);
        if (status != grants::GrantStatus::okay) {
            return grants::describe(status);
        }
        request.grants.push_back(held);
        const std::size_t first = std::size_t{segment.first_sect} * sector_bytes;
        const std::size_t end = (segment.last_sect + std::size_t{1}) * sector_bytes;
        if (!granted(held.lease, first, end)) {
            return "a segment is outside what its grant allows";
        }
        if (add_piece(request.vectors, {held.lease.page + first, end - first})) {
            device_.counters.merged.add();
        }
    }
    return nullptr;
}

} // namespace parapet::disk
