// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/grant_cache.hpp"

namespace parapet::disk {

using grants::GrantAccess;
using grants::GrantStatus;

namespace {
std::uint32_t number(grants::GrantRef ref) {
    return static_cast<std::uint32_t>(ref);
}
} // namespace

GrantCache::GrantCache(grants::HostGrants& grants, std::uint32_t most_kept) : grants_{grants}, most_kept_{most_kept} {
    kept_.resize(most_kept);
    places_.reserve(most_kept);
    for (std::uint32_t at = most_kept; at > 0; --at) {
        free_.push_back(at - 1);
    }
}

GrantCache::~GrantCache() {
    for (const auto& [ref, at] : places_) {
        grants_.give_back(kept_[at].lease);
    }
}

GrantStatus GrantCache::take(grants::GrantRef ref, GrantAccess access, HeldGrant& held) {
    held.kept_at = HeldGrant::not_kept;
    if (most_kept_ == 0) {
        return grants_.take(ref, access, held.lease);
    }
    if (const auto found = places_.find(number(ref)); found != places_.end()) {
        Kept& kept = kept_[found->second];
        if (access == GrantAccess::write && kept.lease.access == GrantAccess::read) {
            return grants_.take(ref, access, held.lease); // beside the kept one
        }
        if (kept.users++ == 0) {
            unlink(found->second);
        }
        held.lease = kept.lease;
        held.kept_at = found->second;
        return GrantStatus::okay;
    }
    // Kept for reading and writing where it may: blkif.h allows it, and the next request may go the other way.
    GrantStatus status = grants_.take(ref, GrantAccess::write, held.lease);
    if (status != GrantStatus::okay && access == GrantAccess::read) {
        status = grants_.take(ref, access, held.lease);
    }
    if (status == GrantStatus::okay) {
        (void)keep(held.lease, held);
    }
    return status;
}

bool GrantCache::keep(const grants::Lease& lease, HeldGrant& held) {
    if (free_.empty()) {
        if (oldest_ == none) {
            return false; // all in use
        }
        drop(oldest_);
    }
    const std::uint32_t at = free_.back();
    free_.pop_back();
    kept_[at] = {lease, 1, none, none};
    places_.emplace(number(lease.ref), at);
    held.kept_at = at;
    return true;
}

void GrantCache::give_back(const HeldGrant& held) {
    if (held.kept_at == HeldGrant::not_kept) {
        grants_.give_back(held.lease);
    } else if (--kept_[held.kept_at].users == 0) {
        link_newest(held.kept_at);
    }
}

void GrantCache::drop(std::uint32_t at) {
    unlink(at);
    grants_.give_back(kept_[at].lease);
    places_.erase(number(kept_[at].lease.ref));
    free_.push_back(at);
}

void GrantCache::unlink(std::uint32_t at) {
    const Kept& kept = kept_[at];
    (kept.older == none ? oldest_ : kept_[kept.older].newer) = kept.newer;
    (kept.newer == none ? newest_ : kept_[kept.newer].older) = kept.older;
}

void GrantCache::link_newest(std::uint32_t at) {
    kept_[at].older = newest_;
    kept_[at].newer = none;
    (newest_ == none ? oldest_ : kept_[newest_].newer) = at;
    newest_ = at;
}

} // namespace parapet::disk
