// SPDX-License-Identifier: Apache-2.0
#include "vmm/guest_ram.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace parapet::vmm {

namespace {

constexpr std::uint64_t huge_page = 2 << 20;

/// The word in brackets of a setting such as "always [madvise] never"; empty where there is no such file.
std::string chosen_word(const char* path) {
    std::ifstream file{path};
    std::string word;
    while (file >> word) {
        if (word.size() > 2 && word.front() == '[') {
            return word.substr(1, word.size() - 2);
        }
    }
    return {};
}

bool huge_pages_need_private_memory() {
    const std::string shared = chosen_word("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    const std::string any = chosen_word("/sys/kernel/mm/transparent_hugepage/enabled");
    return (shared.empty() || shared == "never" || shared == "deny") && (any == "always" || any == "madvise");
}

/// A sealed memfd of that size, or -1.
int make_memfd(std::uint64_t bytes) {
    const int fd = ::memfd_create("parapet-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (::ftruncate(fd, static_cast<off_t>(bytes)) != 0 ||
                    ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)) {
        ::close(fd);
        return -1;
    }
    return fd;
}

/// Map it at a multiple of the huge page size, as its guest-physical addresses start at one.
std::byte* map_aligned(std::uint64_t bytes, int fd) {
    void* room = ::mmap(nullptr, bytes + huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        return nullptr;
    }
    const auto start = reinterpret_cast<std::uintptr_t>(room);
    const std::uintptr_t base = (start + huge_page - 1) / huge_page * huge_page;
    if (base != start) {
        ::munmap(room, base - start);
    }
    ::munmap(reinterpret_cast<void*>(base + bytes), start + huge_page - base);
    const int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* mapped =
        ::mmap(reinterpret_cast<void*>(base), bytes, PROT_READ | PROT_WRITE, kind | MAP_FIXED | MAP_NORESERVE, fd, 0);
    return mapped == MAP_FAILED ? nullptr : static_cast<std::byte*>(mapped);
}

} // namespace

Result<GuestRam> GuestRam::create(const MachineLayout& layout) {
    const std::uint64_t bytes = layout.frames * page_size;
    // Of the first life: later ones are confined, and can read none of these files.
    static const bool shared = !huge_pages_need_private_memory();
    const int fd = shared ? make_memfd(bytes) : -1;
    std::byte* base = shared && fd < 0 ? nullptr : map_aligned(bytes, fd);
    if (base == nullptr) {
        const int why = errno;
        if (fd >= 0) {
            ::close(fd);
        }
        return Error{"cannot set aside " + std::to_string(bytes >> 20) + " MiB for the guest (" + std::strerror(why) +
                     "); use a smaller --memory"};
    }
    (void)::madvise(base, bytes, MADV_DONTDUMP);
    (void)::madvise(base, bytes, MADV_HUGEPAGE);
    return GuestRam{layout, fd, base};
}

void GuestRam::keep_small(std::uint64_t count) const {
    (void)::madvise(base_, count * page_size, MADV_NOHUGEPAGE);
}

GuestRam::GuestRam(GuestRam&& other) noexcept
    : layout_{other.layout_}, fd_{std::exchange(other.fd_, -1)}, base_{std::exchange(other.base_, nullptr)} {}

GuestRam::~GuestRam() {
    if (base_ != nullptr) {
        ::munmap(base_, bytes());
    }
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

std::byte* GuestRam::frame(std::uint64_t mfn) const {
    return layout_.is_ram(mfn) ? base_ + layout_.offset_of(mfn) : nullptr;
}

bool GuestRam::release(std::uint64_t mfn) {
    if (!layout_.is_ram(mfn)) {
        return false;
    }
    if (anonymous()) {
        return ::madvise(frame(mfn), page_size, MADV_DONTNEED) == 0;
    }
    return ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(layout_.offset_of(mfn)),
                       page_size) == 0;
}

std::uint64_t GuestRam::resident(std::uint64_t first, std::uint64_t count) const {
    std::vector<unsigned char> pages(count);
    if (count == 0 || ::mincore(base_ + first * page_size, count * page_size, pages.data()) != 0) {
        return 0;
    }
    std::uint64_t total = 0;
    for (const unsigned char page : pages) {
        total += page & 1;
    }
    return total * page_size;
}

} // namespace parapet::vmm
