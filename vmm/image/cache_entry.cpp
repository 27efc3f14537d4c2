// SPDX-License-Identifier: Apache-2.0
// Writes and maps entries of the kernel cache.
#include "vmm/image/cache_entry.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <unistd.h>
#include <xxhash.h>

#include "vmm/image/zero.hpp"

namespace parapet::image {
namespace {

/// Zeros shorter than this are stored.
constexpr size_t shortest_gap = 64U << 10;
/// No kernel's ELF is larger; a bound for what a damaged header can ask for.
constexpr uint64_t largest_entry = 1ULL << 40;

struct Run {
    uint64_t offset = 0; ///< in the kernel, at a page boundary
    uint64_t length = 0; ///< a page multiple, but for a run that ends with the kernel
};

struct Header {
    static constexpr size_t most_runs = (page_size - 40) / sizeof(Run);
    std::array<char, 8> magic{'P', 'A', 'R', 'A', 'K', 'R', 'N', '2'};
    uint64_t checksum = 0; ///< of this page with a checksum of zero, and the runs
    uint64_t size = 0;
    uint64_t stored = 0; ///< bytes of the file after this page
    uint64_t run_count = 0;
    std::array<Run, most_runs> runs{};
    std::array<std::byte, page_size - 40 - most_runs * sizeof(Run)> padding{};
};
static_assert(sizeof(Header) == page_size);

uint64_t page_up(uint64_t size) {
    return (size + page_size - 1) / page_size * page_size;
}

/// Where the run of stored bytes that starts at `at` ends: before a long gap, or at the end.
uint64_t run_end(std::span<const std::byte> bytes, uint64_t at) {
    uint64_t end = at;
    for (uint64_t page = at; page < bytes.size() && page < end + shortest_gap; page += page_size) {
        const uint64_t next = std::min<uint64_t>(page + page_size, bytes.size());
        if (!all_zero(bytes.subspan(page, next - page)))
            end = next;
    }
    return end;
}

Header describe(std::span<const std::byte> bytes) {
    Header header;
    header.size = bytes.size();
    for (uint64_t at = 0; at < bytes.size();) {
        uint64_t end = run_end(bytes, at);
        if (end == at) {
            at += page_size; // zero
            continue;
        }
        if (header.run_count == Header::most_runs - 1)
            end = bytes.size();
        header.runs[header.run_count++] = {at, end - at};
        header.stored += page_up(end - at);
        at = page_up(end);
    }
    return header;
}

bool is_sound(const Header& header, uint64_t file_size) {
    const Header expected;
    if (header.magic != expected.magic || header.run_count > Header::most_runs || header.size > largest_entry)
        return false;
    uint64_t at = 0;
    uint64_t stored = 0;
    for (const Run& run : std::span{header.runs}.first(header.run_count)) {
        if (run.offset % page_size != 0 || run.offset < at || run.offset > header.size || run.length == 0 ||
            run.length > header.size - run.offset)
            return false;
        at = run.offset + run.length;
        stored += page_up(run.length);
    }
    return stored == header.stored && file_size == stored + page_size;
}

uint64_t checksum_of(Header header, std::span<const std::byte> bytes) {
    header.checksum = 0;
    XXH64_hash_t sum = XXH64(&header, sizeof header, 0);
    for (const Run& run : std::span{header.runs}.first(header.run_count))
        sum = XXH64(bytes.data() + run.offset, run.length, sum);
    return sum;
}

bool write_fully(int fd, std::span<const std::byte> bytes, uint64_t at) {
    while (!bytes.empty()) {
        const ssize_t put = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += static_cast<uint64_t>(put);
        bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return true;
}

} // namespace

bool write_entry(int fd, std::span<const std::byte> bytes) {
    Header header = describe(bytes);
    header.checksum = checksum_of(header, bytes);
    uint64_t at = page_size;
    for (const Run& run : std::span{header.runs}.first(header.run_count)) {
        if (!write_fully(fd, bytes.subspan(run.offset, run.length), at))
            return false;
        at += page_up(run.length);
    }
    return write_fully(fd, std::as_bytes(std::span{&header, 1}), 0) && ftruncate(fd, static_cast<off_t>(at)) == 0;
}

std::shared_ptr<const ByteSource> read_entry(int fd, uint64_t file_size) {
    Header header;
    if (pread(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) || !is_sound(header, file_size))
        return nullptr;
    auto mapping = Mapping::reserve(header.size);
    if (!mapping)
        return nullptr;
    uint64_t at = page_size;
    for (const Run& run : std::span{header.runs}.first(header.run_count)) {
        if (!mapping->overlay(run.offset, fd, at, run.length))
            return nullptr;
        at += page_up(run.length);
    }
    if (checksum_of(header, mapping->bytes()) != header.checksum)
        return nullptr;
    return std::make_shared<const MemorySource>(*std::move(mapping));
}

} // namespace parapet::image
