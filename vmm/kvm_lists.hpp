// SPDX-License-Identifier: Apache-2.0
// KVM's variable-length structures (kvm_cpuid2, kvm_msrs, kvm_irq_routing). The kernel's headers declare them with a
// flexible-array macro whose empty member takes a byte in C++, which shifts the entries and changes the ioctl numbers;
// so they are laid out here: a count, four more bytes, then the entries.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <vector>

namespace parapet::vmm {

inline constexpr std::size_t kvm_list_header = 8;

inline constexpr unsigned long kvm_get_supported_cpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, kvm_list_header);
inline constexpr unsigned long kvm_set_gsi_routing = _IOC(_IOC_WRITE, KVMIO, 0x6a, kvm_list_header);
inline constexpr unsigned long kvm_get_msrs = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x88, kvm_list_header);
inline constexpr unsigned long kvm_set_msrs = _IOC(_IOC_WRITE, KVMIO, 0x89, kvm_list_header);
inline constexpr unsigned long kvm_set_cpuid2 = _IOC(_IOC_WRITE, KVMIO, 0x90, kvm_list_header);

template <typename Entry>
class KvmList {
public:
    explicit KvmList(std::uint32_t count) : words_((kvm_list_header + count * sizeof(Entry) + 7) / 8) {
        std::memcpy(words_.data(), &count, sizeof(count));
    }
    explicit KvmList(const std::vector<Entry>& entries) : KvmList{static_cast<std::uint32_t>(entries.size())} {
        std::memcpy(words_.data() + 1, entries.data(), entries.size() * sizeof(Entry));
    }
    [[nodiscard]] void* data() { return words_.data(); }
    /// As many entries as the header now says, but never more than there was room for.
    [[nodiscard]] std::vector<Entry> entries() const {
        std::uint32_t count = 0;
        std::memcpy(&count, words_.data(), sizeof(count));
        const std::size_t room = (words_.size() * 8 - kvm_list_header) / sizeof(Entry);
        std::vector<Entry> result(std::min<std::size_t>(count, room));
        std::memcpy(result.data(), words_.data() + 1, result.size() * sizeof(Entry));
        return result;
    }

private:
    std::vector<std::uint64_t> words_;
};

} // namespace parapet::vmm
