// SPDX-License-Identifier: Apache-2.0
// The grant table of this domain, version 1 or 2: granting frames to the host's backends and taking them back.
#pragma once

#include "guests/lib/abi.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest {

inline constexpr unsigned grant_frames = 2; ///< of the table
inline constexpr grant_ref_t no_grant = 0;  ///< reserved by the ABI: never ours

/// Chooses the version and maps the table; once. 0 or -errno.
long grants_init(unsigned version = 1);
[[nodiscard]] unsigned grants_version();
/// References that a frame can still be granted by.
[[nodiscard]] unsigned grants_free();

/// Grants a whole frame to domain 0. The domain is crashed when references run out.
[[nodiscard]] grant_ref_t grant_frame(uint64_t mfn, bool read_only);
[[nodiscard]] inline grant_ref_t grant_page(const volatile void* page, bool read_only = false) {
    return grant_frame(virt_to_mfn(page), read_only);
}
/// Version 2 only: the bytes [offset, offset + length) of a frame.
[[nodiscard]] grant_ref_t grant_part(uint64_t mfn, uint16_t offset, uint16_t length, bool read_only);

/// GTF_reading and GTF_writing as they stand.
[[nodiscard]] uint16_t grant_use(grant_ref_t ref);
/// Takes the grant back. False while the other end uses the frame: the reference is then still taken.
bool grant_end(grant_ref_t ref);

/// For the ill-behaved: a reference of one's own whose entry is written at will, also while it is in use.
[[nodiscard]] grant_ref_t grant_reserve();
void grant_overwrite(grant_ref_t ref, uint16_t flags, domid_t domid, uint64_t mfn);

} // namespace parapet::guest
