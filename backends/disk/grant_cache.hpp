// SPDX-License-Identifier: Apache-2.0
// The grants that one queue uses. Where persistent grants were agreed on, a grant stays taken between requests, up to a
// limit; then the one that was not used for the longest time goes. Otherwise each use takes it and gives it back.
#pragma once

#include "iorings/grants/host_grants.hpp"

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace parapet::disk {

/// A grant in use by a request.
struct HeldGrant {
    static constexpr std::uint32_t not_kept = 0xffffffff;
    grants::Lease lease;
    std::uint32_t kept_at = not_kept; ///< place in the cache
};

class GrantCache {
public:
    /// `most_kept` 0: nothing is kept.
    GrantCache(grants::HostGrants& grants, std::uint32_t most_kept);
    GrantCache(const GrantCache&) = delete;
    GrantCache& operator=(const GrantCache&) = delete;
    /// Precondition: nothing is held.
    ~GrantCache();

    [[nodiscard]] grants::GrantStatus take(grants::GrantRef ref, grants::GrantAccess access, HeldGrant& held);
    void give_back(const HeldGrant& held);

    [[nodiscard]] std::size_t kept() const { return places_.size(); }

private:
    static constexpr std::uint32_t none = 0xffffffff;
    struct Kept {
        grants::Lease lease;
        std::uint32_t users = 0;
        std::uint32_t older = none, newer = none; ///< while without users: neighbours in the order of last use
    };
    void unlink(std::uint32_t at);
    void link_newest(std::uint32_t at);
    void drop(std::uint32_t at);
    [[nodiscard]] bool keep(const grants::Lease& lease, HeldGrant& held);

    grants::HostGrants& grants_;
    std::uint32_t most_kept_;
    std::vector<Kept> kept_;
    std::vector<std::uint32_t> free_;
    std::unordered_map<std::uint32_t, std::uint32_t> places_; ///< reference to place
    std::uint32_t oldest_ = none, newest_ = none;             ///< of those without users
};

} // namespace parapet::disk
