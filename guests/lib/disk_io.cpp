// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/disk_io.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/cpu.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned words_per_sector = sector_bytes / sizeof(uint64_t);
uint64_t next_id = 1;

uint64_t pattern(uint64_t sector, unsigned seed, unsigned word) {
    return (sector * words_per_sector + word) * 0x9e3779b97f4a7c15 + seed * 0xd1b54a32d192ed03ul;
}

int answer(BlockDevice& disk, unsigned queue, uint64_t id, uint8_t operation) {
    blkif_response_t response;
    if (!disk.queue(queue).take(response)) {
        return no_answer;
    }
    return response.id == id && response.operation == operation ? response.status : wrong_answer;
}

} // namespace

IoBuffer::IoBuffer(unsigned pages) : pages_{pages}, bytes_{static_cast<unsigned char*>(alloc_pages(pages))} {}

void IoBuffer::fill(uint64_t sector, unsigned seed, unsigned count) {
    for (unsigned word = 0; word < count * (page_size / sizeof(uint64_t)); ++word) {
        words()[word] = pattern(sector, seed, word);
    }
}

long IoBuffer::check(uint64_t sector, unsigned seed, unsigned count) {
    compiler_barrier(); // the backend wrote it
    for (unsigned word = 0; word < count * (page_size / sizeof(uint64_t)); ++word) {
        if (words()[word] != pattern(sector, seed, word)) {
            return static_cast<long>(word * sizeof(uint64_t));
        }
    }
    return -1;
}

void IoBuffer::segments(blkif_request_segment* to, unsigned count, bool read_only) {
    for (unsigned i = 0; i < count; ++i) {
        if (refs_[i] == no_grant) {
            refs_[i] = grant_page(bytes_ + i * page_size, read_only);
        }
        to[i] = {refs_[i], 0, page_sectors - 1};
    }
}

bool IoBuffer::end_grants() {
    bool ok = true;
    for (grant_ref_t& ref : refs_) {
        ok = (ref == no_grant || grant_end(ref)) && ok;
        ref = no_grant;
    }
    return ok;
}

int transfer(BlockDevice& disk, uint8_t operation, uint64_t sector, IoBuffer& buffer, unsigned count, unsigned queue,
             bool keep_grants) {
    static blkif_request_segment segments[most_indirect];
    buffer.segments(segments, count, operation != BLKIF_OP_READ && !keep_grants);
    const uint64_t id = next_id++;
    disk.post(queue, operation, id, sector, segments, count);
    disk.queue(queue).push();
    const int status = answer(disk, queue, id, operation); // also where the segments are indirect
    if (status == no_answer || keep_grants) {
        return status;
    }
    const bool ended = disk.end_indirect(id);
    return buffer.end_grants() && ended ? status : grant_kept;
}

int order(BlockDevice& disk, uint8_t operation, unsigned queue) {
    const uint64_t id = next_id++;
    disk.post(queue, operation, id, 0, nullptr, 0);
    disk.queue(queue).push();
    return answer(disk, queue, id, operation);
}

int discard(BlockDevice& disk, uint64_t sector, uint64_t count) {
    const uint64_t id = next_id++;
    auto& request = reinterpret_cast<blkif_request_discard_t&>(disk.queue().next());
    request.operation = BLKIF_OP_DISCARD;
    request.handle = static_cast<blkif_vdev_t>(disk.id);
    request.id = id;
    request.sector_number = sector;
    request.nr_sectors = count;
    disk.queue().push();
    return answer(disk, 0, id, BLKIF_OP_DISCARD);
}

const char* write_and_check(BlockDevice& disk, uint64_t sector, unsigned seed, IoBuffer& buffer, unsigned count,
                            unsigned queue) {
    static char text[96];
    buffer.fill(sector, seed, count);
    int status = transfer(disk, BLKIF_OP_WRITE, sector, buffer, count, queue);
    if (status == BLKIF_RSP_OKAY) {
        buffer.fill(~sector, seed + 1, count);
        status = transfer(disk, BLKIF_OP_READ, sector, buffer, count, queue);
        const long wrong = buffer.check(sector, seed, count);
        if (status == BLKIF_RSP_OKAY && wrong < 0) {
            return nullptr;
        }
        print_to(text, sizeof(text), "read of %u pages at sector %lu: status %d, wrong at byte %ld", count, sector,
                 status, wrong);
    } else {
        print_to(text, sizeof(text), "write of %u pages at sector %lu: status %d", count, sector, status);
    }
    return text;
}

const char* check_original(IoBuffer& buffer, uint64_t sector, unsigned count) {
    static char text[96];
    compiler_barrier();
    for (unsigned at = 0; at < count * page_size; at += 16) {
        const auto* line = reinterpret_cast<const char*>(buffer.bytes() + at);
        uint64_t want = (sector * sector_bytes + at) / 16;
        bool same = line[15] == '\n';
        for (unsigned digit = 15; digit-- > 0; want /= 10) {
            same = same && line[digit] == static_cast<char>('0' + want % 10);
        }
        if (!same) {
            print_to(text, sizeof(text), "byte %u after sector %lu is not the original", at, sector);
            return text;
        }
    }
    return nullptr;
}

} // namespace parapet::guest
