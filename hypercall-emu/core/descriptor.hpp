// SPDX-License-Identifier: Apache-2.0
// Descriptor tables of the guest: pages of checked descriptors, mapped in a window of the hole per vCPU.
//
//   GDT window: pages 0..13 the guest's (zeroes where it has none), 14..15 the nucleus's own
//   LDT window: pages 0..15 the guest's (zeroes where it has none)
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

inline constexpr unsigned GDT_GUEST_PAGES = 14;
inline constexpr unsigned LDT_PAGES = 16;
inline constexpr unsigned DESCRIPTORS_PER_PAGE = 512;

/// May the guest have this descriptor? Not present, or code or data: ring 3 can use those of its own privilege only.
/// Gates and system segments are refused: a call gate would lead into ring 0.
[[nodiscard]] bool descriptor_allowed(u64 descriptor);
/// As the guest asks for it, so we store it: code and data of the guest's own privilege level, as Xen does.
[[nodiscard]] u64 adjust_descriptor(u64 descriptor);
/// Are all descriptors of the page allowed? If so they are adjusted in place.
[[nodiscard]] bool validate_descriptor_page(const Domain& domain, Mfn mfn);

/// Use these frames as GDT. 0 or -XEN_EINVAL; on failure the old GDT stays.
[[nodiscard]] Status install_gdt(Vcpu& vcpu, const u64* frames, u32 entries);
/// LDT of `entries` descriptors at `base` (page-aligned), 0 entries: none. Pages that cannot be descriptor pages read
/// as zeroes, so that their use is a #GP of the guest.
[[nodiscard]] Status set_ldt(Vcpu& vcpu, GuestVa base, u32 entries);

} // namespace parapet::nucleus
