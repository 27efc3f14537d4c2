// SPDX-License-Identifier: Apache-2.0
#include "vmm/guest_ram.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace parapet::vmm {

Result<GuestRam> GuestRam::create(const MachineLayout& layout) {
    const std::uint64_t bytes = layout.frames * page_size;
    const int fd = ::memfd_create("parapet-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return Error{std::string{"cannot make a memory file for the guest: "} + std::strerror(errno)};
    }
    void* base = MAP_FAILED;
    if (::ftruncate(fd, static_cast<off_t>(bytes)) == 0 && ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0) {
        base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    }
    if (base == MAP_FAILED) {
        const int why = errno;
        ::close(fd);
        return Error{"cannot set aside " + std::to_string(bytes >> 20) + " MiB for the guest (" + std::strerror(why) +
                     "); use a smaller --memory"};
    }
    (void)::madvise(base, bytes, MADV_DONTDUMP);
    return GuestRam{layout, fd, static_cast<std::byte*>(base)};
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
    return layout_.is_ram(mfn) && ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                              static_cast<off_t>(layout_.offset_of(mfn)), page_size) == 0;
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
