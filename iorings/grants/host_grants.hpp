// SPDX-License-Identifier: Apache-2.0
// A guest's grants as the host's backends use them: each reference is checked on each use, and gives a pointer straight
// into guest memory (no copy, no mapping). The grant table lies in memory that the guest writes at any time.
//
//   guest:  writes an entry {permit_access, domid 0, frame}       backend:  take(ref, access)
//             │                                                        │ entry read once: type, peer, rights
//             │                                                        │ frame: of this domain, and for writing: pinned
//             │                                                        │   against becoming a table (doorbell.hpp:
//             HostUse) │   GTF_reading/GTF_writing set in entry or status  ◀────┤ marked, as a mapping marks it in Xen
//             ▼                                                        ▼
//   may not revoke while marked                                   I/O into or out of the frame; then give_back()
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
    ~HostGrants();

    /// Checks `ref` and begins its use. GrantStatus::okay: `lease` is filled.
    [[nodiscard]] GrantStatus take(GrantRef ref, GrantAccess access, Lease& lease);
    /// Ends it: the marks go with the last use of the reference.
    void give_back(const Lease& lease);

    /// Leases that are out.
    [[nodiscard]] std::size_t in_use() const;

    // State and helpers: see host_grants.cpp.
private:
    GuestFrames frames_;
    doorbell::Mailbox& mailbox_;
    const std::uint64_t* frame_table_;
    std::uint16_t* host_use_;
    std::uint64_t max_mfn_, domain_first_mfn_;
    std::uint16_t domid_;
    struct Use {
        std::uint16_t readers = 0, writers = 0;
    };
    std::vector<Use> uses_; ///< by reference
    std::size_t in_use_ = 0;
};

/// The text for a log line: "bad grant reference", ...
[[nodiscard]] const char* describe(GrantStatus status);

} // namespace parapet::grants
