// SPDX-License-Identifier: Apache-2.0
#include "vmm/process_memory.hpp"

#include "vmm/kvm.hpp"

#include <array>
#include <charconv>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

namespace parapet::vmm {

namespace {

std::uint64_t kib_after(std::string_view text, std::string_view key) {
    std::size_t at = text.find(key);
    if (at == std::string_view::npos) {
        return 0;
    }
    at = text.find_first_of("0123456789", at + key.size());
    std::uint64_t kib = 0;
    if (at != std::string_view::npos) {
        (void)std::from_chars(text.data() + at, text.data() + text.size(), kib);
    }
    return kib;
}

} // namespace

std::uint64_t own_memory_bytes() {
    // Kept open: the sandbox lets nothing be opened later.
    static const UniqueFd status{::open("/proc/self/status", O_RDONLY | O_CLOEXEC)};
    std::array<char, 4096> buffer;
    const ssize_t length = ::pread(status.get(), buffer.data(), buffer.size(), 0);
    if (length <= 0) {
        return 0;
    }
    const std::string_view text{buffer.data(), static_cast<std::size_t>(length)};
    return (kib_after(text, "\nRssAnon:") + kib_after(text, "\nRssFile:")) << 10;
}

} // namespace parapet::vmm
