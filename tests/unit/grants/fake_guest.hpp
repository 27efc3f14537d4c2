// SPDX-License-Identifier: Apache-2.0
// Memory, frame table, mailbox and grant table of a guest in an array, for tests of HostGrants: the test plays guest
// and nucleus.
//
//   MFN  0        16            80               96      128 .. 256        (no RAM)    1024 .. 1040
//        nothing  table frames  status frames            the domain's frames           more of the domain's
#pragma once

#include "iorings/grants/host_grants.hpp"
#include "pv-abi/frame_word.hpp"

#include <atomic>
#include <memory>
#include <vector>

namespace parapet::grants::test {

class FakeGuest {
public:
    static constexpr std::uint64_t table_mfn = 16, status_mfn = 80, domain_first = 128, low_end = 256,
                                   high_start = 1024, max_mfn = 1040;

    FakeGuest() {
        for (std::uint64_t mfn = domain_first; mfn < max_mfn; mfn++) {
            if (frames.frame(mfn) != nullptr) {
                set_frame(mfn, doorbell::FrameOwner::domain, doorbell::FrameType::none);
            }
        }
    }
    FakeGuest(const FakeGuest&) = delete;
    FakeGuest& operator=(const FakeGuest&) = delete;

    [[nodiscard]] HostGrants grants() {
        return HostGrants{frames, *mailbox, frame_table.data(), host_use.data(), max_mfn, domain_first};
    }
    void set_frame(std::uint64_t mfn, doorbell::FrameOwner owner, doorbell::FrameType type) {
        doorbell::FrameWord word{type == doorbell::FrameType::none ? 0U : 1U};
        word.set_owner(owner);
        word.set_type(type);
        std::atomic_ref{frame_table[mfn]}.store(word.word);
    }
    /// The nucleus makes the table `count` frames long.
    void grow(std::uint32_t count, std::uint32_t status_count = 0) {
        doorbell::GrantInfo& info = mailbox->grants;
        for (std::uint32_t i = 0; i < count; i++) {
            info.frames[i] = table_mfn + i;
        }
        for (std::uint32_t i = 0; i < status_count; i++) {
            info.status_frames[i] = status_mfn + i;
        }
        info.nr_status_frames = status_count;
        info.nr_frames = count;
    }
    void use_version(std::uint32_t version) { mailbox->grants.version = version; }

    template <typename T>
    [[nodiscard]] T& at(std::uint64_t mfn, std::size_t offset = 0) const {
        return *reinterpret_cast<T*>(frames.frame(mfn) + offset);
    }
    [[nodiscard]] abi::grant_entry_v1& v1(std::uint32_t ref) const {
        return at<abi::grant_entry_v1>(table_mfn + ref / 512, ref % 512 * 8);
    }
    [[nodiscard]] abi::grant_entry_v2& v2(std::uint32_t ref) const {
        return at<abi::grant_entry_v2>(table_mfn + ref / 256, ref % 256 * 16);
    }
    [[nodiscard]] std::uint16_t& status(std::uint32_t ref) const {
        return at<std::uint16_t>(status_mfn + ref / 2048, ref % 2048 * 2);
    }
    void grant(std::uint32_t ref, std::uint64_t mfn, unsigned flags = 0, std::uint16_t domid = 0) const {
        const auto all = static_cast<std::uint16_t>(abi::GTF_permit_access | flags);
        if (mailbox->grants.version == 2) {
            v2(ref).full_page.frame = mfn;
            v2(ref).hdr = {all, domid};
        } else {
            v1(ref) = {all, domid, static_cast<std::uint32_t>(mfn)};
        }
    }

    struct alignas(4096) Page {
        std::byte bytes[4096];
    };
    std::unique_ptr<doorbell::Mailbox> mailbox = std::make_unique<doorbell::Mailbox>();
    std::vector<std::uint64_t> frame_table = std::vector<std::uint64_t>(max_mfn);
    std::vector<std::uint16_t> host_use = std::vector<std::uint16_t>(max_mfn);

private:
    std::unique_ptr<Page[]> memory_ = std::make_unique<Page[]>(low_end + max_mfn - high_start);

public:
    GuestFrames frames{memory_[0].bytes, low_end, high_start, max_mfn};
};

} // namespace parapet::grants::test
