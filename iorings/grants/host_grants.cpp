// SPDX-License-Identifier: Apache-2.0
// Taking and giving back grants; doorbell.hpp has the rules between us and the nucleus. The marks are set as Xen sets
// them (xen/common/grant_table.c: _set_status_v1, _set_status_v2), so that a guest that revokes at the same time either
// sees them or is seen.
#include "iorings/grants/host_grants.hpp"

#include "pv-abi/frame_word.hpp"

#include <algorithm>
#include <atomic>

namespace parapet::grants {

namespace {

constexpr std::uint32_t v1_per_frame = GuestFrames::frame_size / sizeof(abi::grant_entry_v1);
constexpr std::uint32_t v2_per_frame = GuestFrames::frame_size / sizeof(abi::grant_entry_v2);
constexpr std::uint32_t status_per_frame = GuestFrames::frame_size / sizeof(abi::grant_status_t);
constexpr std::uint16_t all_marks = abi::GTF_reading | abi::GTF_writing;
constexpr int most_attempts = 5; // the guest may write faster than we compare and exchange

GrantStatus status(std::int16_t gntst) {
    return GrantStatus{gntst};
}

/// A word in memory that others write. (std::atomic_ref of const types is not in C++20.)
template <typename T>
T load(const T& word) {
    return __atomic_load_n(&word, __ATOMIC_SEQ_CST);
}

std::uint32_t load_word(const std::byte* at) {
    return load(*reinterpret_cast<const std::uint32_t*>(at));
}

std::uint16_t marks_for(GrantAccess access) {
    return access == GrantAccess::write ? all_marks : abi::GTF_reading;
}

} // namespace

HostGrants::HostGrants(GuestFrames frames, doorbell::Mailbox& mailbox, const std::uint64_t* frame_table,
                       std::uint16_t* host_use, std::uint64_t max_mfn, std::uint64_t domain_first_mfn,
                       std::uint16_t domid)
    : frames_{frames}, mailbox_{mailbox}, frame_table_{frame_table}, host_use_{host_use}, max_mfn_{max_mfn},
      domain_first_mfn_{domain_first_mfn}, domid_{domid} {}

std::uint32_t HostGrants::per_frame() const {
    return version_ == 2 ? v2_per_frame : v1_per_frame;
}

/// Frames that the nucleus added. It publishes those of the status first.
void HostGrants::see_new_frames() {
    const auto see = [this](std::vector<std::byte*>& seen, std::uint32_t count, const std::uint64_t* numbers) {
        count = std::min<std::uint32_t>(count, doorbell::MAX_GRANT_FRAMES);
        while (seen.size() < count) {
            std::byte* page = frames_.frame(load(numbers[seen.size()]));
            if (page == nullptr) {
                return;
            }
            seen.push_back(page);
        }
    };
    const doorbell::GrantInfo& info = mailbox_.grants;
    see(table_, load(info.nr_frames), info.frames);
    see(status_, load(info.nr_status_frames), info.status_frames);
    uses_.resize(table_.size() * v1_per_frame);
}

bool HostGrants::in_table(std::uint32_t ref) {
    const auto inside = [&] {
        return ref / per_frame() < table_.size() && (version_ != 2 || ref / status_per_frame < status_.size());
    };
    if (!inside()) {
        see_new_frames();
    }
    return inside();
}

/// Preconditions of these two: in_table(ref).
std::byte* HostGrants::entry(std::uint32_t ref) const {
    const std::size_t size = version_ == 2 ? sizeof(abi::grant_entry_v2) : sizeof(abi::grant_entry_v1);
    return table_[ref / per_frame()] + ref % per_frame() * size;
}

std::uint16_t& HostGrants::marks(std::uint32_t ref) const {
    std::byte* at = version_ == 2
                        ? status_[ref / status_per_frame] + ref % status_per_frame * sizeof(abi::grant_status_t)
                        : entry(ref);
    return *reinterpret_cast<std::uint16_t*>(at);
}

/// The first use of any grant: no version change from now on, so this is the version.
void HostGrants::attach() {
    version_ = load(mailbox_.grants.version) == 2 ? 2 : 1;
}

GrantStatus HostGrants::take(GrantRef ref, GrantAccess access, Lease& lease) {
    std::atomic_ref leases{mailbox_.grants.host_leases};
    if (in_use_ == 0) {
        leases.store(1);
    }
    GrantStatus result = status(abi::GNTST_eagain);
    for (int attempt = 0; attempt < most_attempts; attempt++) {
        const std::uint32_t sequence = load(mailbox_.grants.sequence);
        if ((sequence & 1) != 0) {
            break;
        }
        if (in_use_ == 0) {
            attach();
        }
        result = take_entry(static_cast<std::uint32_t>(ref), access, lease);
        if (load(mailbox_.grants.sequence) == sequence) {
            break;
        }
        if (result == GrantStatus::okay) { // an entry that was moved meanwhile
            give_back(lease);
            if (in_use_ == 0) {
                leases.store(1);
            }
        }
        result = status(abi::GNTST_eagain);
    }
    if (in_use_ == 0) {
        leases.store(0);
    }
    return result;
}

GrantStatus HostGrants::take_entry(std::uint32_t ref, GrantAccess access, Lease& lease) {
    if (!in_table(ref)) {
        return status(abi::GNTST_bad_gntref);
    }
    Use& use = uses_[ref];
    if (use.readers == most_uses || use.writers == most_uses) {
        return status(abi::GNTST_general_error);
    }
    Header header{};
    if (const GrantStatus marked = version_ == 2 ? mark_v2(ref, access, header) : mark_v1(ref, access);
        marked != GrantStatus::okay) {
        return marked;
    }
    const std::byte* at = entry(ref);
    const std::uint64_t mfn = version_ == 2 ? load(*reinterpret_cast<const std::uint64_t*>(at + 8)) : load_word(at + 4);
    std::uint32_t first = 0, end = GuestFrames::frame_size;
    if (version_ == 2 && (header.flags & abi::GTF_sub_page) != 0) {
        const std::uint32_t part = load_word(at + 4); // page_off and length at once
        first = part & 0xffff;
        end = std::min(end, first + (part >> 16));
    }
    const GrantStatus pinned = first < end ? pin(mfn, access) : status(abi::GNTST_general_error);
    if (pinned != GrantStatus::okay) {
        clear_marks(ref);
        return pinned;
    }
    lease = {frames_.frame(mfn),
             mfn,
             GrantRef{ref},
             access,
             static_cast<std::uint16_t>(first),
             static_cast<std::uint16_t>(end)};
    (access == GrantAccess::write ? use.writers : use.readers)++;
    in_use_++;
    return GrantStatus::okay;
}

namespace {

/// Does the entry permit domain 0 this access?
bool permits(std::uint16_t flags, std::uint16_t domid, GrantAccess access) {
    return (flags & abi::GTF_type_mask) == abi::GTF_permit_access && domid == 0 &&
           (access == GrantAccess::read || (flags & abi::GTF_readonly) == 0);
}

} // namespace

GrantStatus HostGrants::mark_v1(std::uint32_t ref, GrantAccess access) {
    std::atomic_ref word{*reinterpret_cast<std::uint32_t*>(entry(ref))};
    std::uint32_t seen = word.load();
    for (int attempt = 0; attempt < most_attempts; attempt++) {
        if (!permits(static_cast<std::uint16_t>(seen), static_cast<std::uint16_t>(seen >> 16), access)) {
            return status(abi::GNTST_general_error);
        }
        const std::uint32_t marked = seen | marks_for(access);
        if (marked == seen || word.compare_exchange_strong(seen, marked)) {
            return GrantStatus::okay;
        }
    }
    return status(abi::GNTST_general_error);
}

GrantStatus HostGrants::mark_v2(std::uint32_t ref, GrantAccess access, Header& header) {
    const auto permitted = [&] {
        const std::uint32_t word = load_word(entry(ref));
        header = {static_cast<std::uint16_t>(word), static_cast<std::uint16_t>(word >> 16)};
        return permits(header.flags, header.domid, access);
    };
    if (!permitted()) {
        return status(abi::GNTST_general_error);
    }
    std::atomic_ref word{marks(ref)};
    if ((word.load() & marks_for(access)) != marks_for(access)) {
        word.fetch_or(marks_for(access)); // a full fence: a guest that revokes sees the mark, or we see that it did
    }
    if (!permitted()) {
        clear_marks(ref);
        return status(abi::GNTST_general_error);
    }
    return GrantStatus::okay;
}

/// May the host use the frame? For writing it may from then on, until unpin().
GrantStatus HostGrants::pin(std::uint64_t mfn, GrantAccess access) {
    if (mfn < domain_first_mfn_ || mfn >= max_mfn_ || frames_.frame(mfn) == nullptr) {
        return status(abi::GNTST_bad_page);
    }
    const auto owned = [&](doorbell::FrameWord word) { return word.owner() == doorbell::FrameOwner::domain; };
    if (access == GrantAccess::read) {
        return owned({load(frame_table_[mfn])}) ? GrantStatus::okay : status(abi::GNTST_bad_page);
    }
    std::atomic_ref use{host_use_[mfn]};
    if (use.load() == most_uses) {
        return status(abi::GNTST_general_error);
    }
    use.fetch_add(1); // before the look at the word: doorbell.hpp
    const doorbell::FrameWord word{load(frame_table_[mfn])};
    if (word.host_may_write()) {
        return GrantStatus::okay;
    }
    use.fetch_sub(1);
    return status(owned(word) ? abi::GNTST_permission_denied : abi::GNTST_bad_page);
}

void HostGrants::unpin(const Lease& lease) {
    if (lease.access == GrantAccess::write && lease.mfn < max_mfn_) {
        std::atomic_ref{host_use_[lease.mfn]}.fetch_sub(1);
    }
}

/// Take away the marks that no use of ours accounts for.
void HostGrants::clear_marks(std::uint32_t ref) {
    const Use& use = uses_[ref];
    const auto gone = static_cast<std::uint16_t>((use.writers == 0 ? abi::GTF_writing : 0) |
                                                 (use.writers == 0 && use.readers == 0 ? abi::GTF_reading : 0));
    std::atomic_ref word{marks(ref)};
    if ((word.load() & gone) != 0) {
        word.fetch_and(static_cast<std::uint16_t>(~gone));
    }
}

void HostGrants::give_back(const Lease& lease) {
    const auto ref = static_cast<std::uint32_t>(lease.ref);
    if (ref >= uses_.size() || lease.page == nullptr) {
        return;
    }
    Use& use = uses_[ref];
    std::uint16_t& count = lease.access == GrantAccess::write ? use.writers : use.readers;
    if (count == 0) {
        return;
    }
    // A guest that sees no mark may at once make the frame a page table, so the pin goes first.
    unpin(lease);
    count--;
    in_use_--;
    if (in_table(ref)) {
        clear_marks(ref);
    }
    if (in_use_ == 0) {
        std::atomic_ref{mailbox_.grants.host_leases}.store(0);
    }
}

const char* describe(GrantStatus status) {
    switch (static_cast<std::int16_t>(status)) {
    case abi::GNTST_okay:
        return "granted";
    case abi::GNTST_bad_gntref:
        return "a grant reference beyond the table";
    case abi::GNTST_general_error:
        return "a reference that does not grant this";
    case abi::GNTST_bad_page:
        return "a grant of a frame that is not the guest's";
    case abi::GNTST_permission_denied:
        return "a grant for writing of a page table";
    case abi::GNTST_eagain:
        return "a grant table that is being changed";
    default:
        return "an unusable grant";
    }
}

} // namespace parapet::grants
