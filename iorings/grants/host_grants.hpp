// SPDX-License-Identifier: Apache-2.0
// A guest's grants as the host's backends use them: each reference is checked on each use, and gives a pointer straight
// into guest memory (no copy, no mapping). The grant table lies in memory that the guest writes at any time.
//
//   guest                                     nucleus                       backend: take(ref, access)
//
//   entry: permit_access, domid 0, frame ─────────────────────────────────▶   header read once: type, peer, rights
//   may not revoke while marked  ◀─────────────────────────────────────────   GTF_reading/GTF_writing set by the same
//                                                                             compare-exchange (v2: in the status word,
//                                                                             then the header is looked at again)
//                                             frame's word: owner, type ──▶   frame: RAM, the domain's; for writing:
//                                             HostUse[mfn] != 0: never a  ◀─  counted in HostUse first, and no table
//                                             table, stays the domain's
//                                                                             I/O into or out of the frame
//                                             HostUse[mfn] == 0  ◀─────────   give_back(): first the count,
//   sees no mark: the frame is its own ◀───────────────────────────────────   then the marks, then tell the guest
//
// A use for reading is not counted in HostUse. It shows the frame's bytes at the time, which are the guest's in any
// case: frames of the domain never become the nucleus's, a frame ballooned out reads as zeroes, and one that has become
// a page table holds what the guest may read itself. So any number of requests may read one frame (a page of zeroes,
// say).
//
// One thread (the I/O thread) uses an object.
#pragma once

#include "iorings/memory/guest_frames.hpp"
#include "pv-abi/doorbell.hpp"
#include "pv-abi/grant_table.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace parapet::grants {

enum class GrantRef : std::uint32_t {};

/// What the host will do with the frame: read it (a guest's data to send or to store), or write it too.
enum class GrantAccess : std::uint8_t { read, write };

/// A reference that was refused: GNTST_* of pv-abi/grant_table.hpp (never GNTST_okay), as GNTTABOP_map_grant_ref and
/// GNTTABOP_copy would say it.
enum class GrantStatus : std::int16_t { okay = 0 };

/// A granted frame in use. Plain data: whoever holds it calls HostGrants::give_back() once.
struct Lease {
    std::byte* page = nullptr; ///< start of the frame's 4096 bytes
    std::uint64_t mfn = 0;
    GrantRef ref{};
    GrantAccess access = GrantAccess::read;
    std::uint16_t first = 0; ///< the bytes [first, end) of the frame are granted (all, but for v2's sub-page entries)
    std::uint16_t end = 4096;
};

class HostGrants {
public:
    /// `mailbox`: what the nucleus publishes of the table (doorbell.hpp: GrantInfo). `frame_table` and `host_use`: one
    /// entry per MFN below `max_mfn`, written by the nucleus and by us respectively. All outlive the object.
    HostGrants(GuestFrames frames, doorbell::Mailbox& mailbox, const std::uint64_t* frame_table,
               std::uint16_t* host_use, std::uint64_t max_mfn, std::uint64_t domain_first_mfn, std::uint16_t domid = 1);
    HostGrants(const HostGrants&) = delete;
    HostGrants& operator=(const HostGrants&) = delete;
    ~HostGrants() = default;

    /// Checks `ref` and begins its use. GrantStatus::okay: `lease` is filled. Else:
    ///   GNTST_bad_gntref         beyond the table
    ///   GNTST_general_error      not granted to domain 0 with these rights; transitive; an empty part of a page;
    ///   changed
    ///                            while it was read; too many uses
    ///   GNTST_bad_page           not a frame of the domain
    ///   GNTST_permission_denied  to be written, but a page table or descriptor page
    ///   GNTST_eagain             the guest is changing the table's version
    [[nodiscard]] GrantStatus take(GrantRef ref, GrantAccess access, Lease& lease);
    /// Ends it: the marks go with the last use of the reference. Before the guest is told (by a response) that its page
    /// is no longer in use.
    void give_back(const Lease& lease);

    /// Leases that are out. While there are any, the guest cannot change the table's version.
    [[nodiscard]] std::size_t in_use() const { return in_use_; }
    [[nodiscard]] std::uint16_t domid() const { return domid_; }

private:
    static constexpr std::uint16_t most_uses = 0xffff;

    /// Flags and peer, as one word of the entry.
    struct Header {
        std::uint16_t flags, domid;
    };
    struct Use {
        std::uint16_t readers = 0, writers = 0;
    };

    GrantStatus take_entry(std::uint32_t ref, GrantAccess access, Lease& lease);
    GrantStatus mark_v1(std::uint32_t ref, GrantAccess access);
    GrantStatus mark_v2(std::uint32_t ref, GrantAccess access, Header& header);
    GrantStatus pin(std::uint64_t mfn, GrantAccess access);
    void unpin(const Lease& lease);
    void clear_marks(std::uint32_t ref);
    void attach();
    void see_new_frames();
    bool in_table(std::uint32_t ref);
    [[nodiscard]] std::uint32_t per_frame() const;
    [[nodiscard]] std::byte* entry(std::uint32_t ref) const;
    [[nodiscard]] std::uint16_t& marks(std::uint32_t ref) const;

    GuestFrames frames_;
    doorbell::Mailbox& mailbox_;
    const std::uint64_t* frame_table_;
    std::uint16_t* host_use_;
    std::uint64_t max_mfn_, domain_first_mfn_;
    std::uint16_t domid_;
    std::uint32_t version_ = 1;              ///< cannot change while a lease is out
    std::vector<std::byte*> table_, status_; ///< frames seen so far; they stay where they are
    std::vector<Use> uses_;                  ///< by reference; as long as the table
    std::size_t in_use_ = 0;
};

/// The text for a log line: "bad grant reference", ...
[[nodiscard]] const char* describe(GrantStatus status);

} // namespace parapet::grants
