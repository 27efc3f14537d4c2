// SPDX-License-Identifier: Apache-2.0
// Owned memory mappings.
#include "vmm/image/mapping.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/mman.h>

namespace parapet::image {
namespace {

constexpr size_t host_page = 4096;
constexpr size_t huge_page = 2U << 20;

size_t page_up(size_t size) {
    return (size + host_page - 1) & ~(host_page - 1);
}

Error no_memory(uint64_t size) {
    return {"the host cannot give " + std::to_string(size >> 20) + " MiB of memory (" + std::strerror(errno) +
            "); free some memory or raise the address-space limit (ulimit -v)"};
}

} // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)} {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Mapping::~Mapping() {
    if (data_ != nullptr)
        munmap(data_, page_up(size_));
}

Result<Mapping> Mapping::reserve(uint64_t size) {
    return map(size, MAP_PRIVATE);
}

Result<Mapping> Mapping::reserve_shared(uint64_t size) {
    return map(size, MAP_SHARED);
}

Result<Mapping> Mapping::map(uint64_t size, int sharing) {
    if (size == 0)
        return Mapping{};
    void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return no_memory(size);
    if (size >= huge_page)
        madvise(at, size, MADV_HUGEPAGE); // only to save page faults; a refusal does no harm
    return Mapping{static_cast<std::byte*>(at), size};
}

bool Mapping::overlay(uint64_t offset, int fd, uint64_t file_offset, uint64_t length) {
    if (offset > page_up(size_) || length > page_up(size_) - offset)
        return false;
    return mmap(data_ + offset, length, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, fd,
                static_cast<off_t>(file_offset)) != MAP_FAILED;
}

void Mapping::shrink(size_t size) {
    if (size >= size_)
        return;
    const size_t kept = page_up(size);
    if (kept < page_up(size_))
        munmap(data_ + kept, page_up(size_) - kept);
    size_ = size;
    if (size_ == 0)
        data_ = nullptr;
}

} // namespace parapet::image
