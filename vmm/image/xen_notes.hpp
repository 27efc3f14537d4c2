// SPDX-License-Identifier: Apache-2.0
// What a PV kernel says about itself in its Xen ELF notes (xen/elfnote.h) or in a legacy `__xen_guest` string.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/result.hpp"

namespace parapet::image {

/// Features by their XENFEAT_ bit number (xen/features.h).
struct Features {
    uint64_t supported = 0;           ///< named in FEATURES, or set in SUPPORTED_FEATURES
    uint64_t required = 0;            ///< named with a leading '!': active for this guest, a subset of `supported`
    std::vector<std::string> unknown; ///< names without a bit number here, as written (with their '!')

    [[nodiscard]] bool supports(unsigned bit) const { return (supported >> bit & 1U) != 0; }
    [[nodiscard]] bool requires_feature(unsigned bit) const { return (required >> bit & 1U) != 0; }
};

/// One way to recognise a non-present L1 entry that still holds an MFN: (entry & mask) == value.
struct L1MfnValid {
    uint64_t mask = 0;
    uint64_t value = 0;
};

enum class PaeMode { unspecified, no, yes, bimodal };

/// The notes as written; absent ones are empty. KernelImage holds the values after Xen's defaults.
struct XenNotes {
    bool present = false; ///< any Xen note, or a `__xen_guest` section
    bool legacy = false;  ///< from `__xen_guest` alone: PADDR_OFFSET then defaults to VIRT_BASE instead of 0

    std::string guest_os, guest_version, xen_version, loader;
    std::optional<uint64_t> entry, hypercall_page, virt_base, paddr_offset;
    std::optional<uint64_t> hv_start_low, init_p2m, phys32_entry;
    /// Legacy HYPERCALL_PAGE: a page number counted from VIRT_BASE.
    std::optional<uint64_t> hypercall_page_number;
    std::vector<L1MfnValid> l1_mfn_valid;
    Features features;
    PaeMode pae_mode = PaeMode::unspecified;
    bool bsd_symtab = false;
    bool suspend_cancel = false;
    bool mod_start_pfn = false; ///< the initrd may be left out of the initial mapping
};

/// Reads the Xen notes in the bytes of one note segment or section and adds them to `notes`; other owners' notes are
/// skipped. Error: a note that does not fit; half a sentence whose subject is the file.
Result<void> parse_notes(std::span<const std::byte> bytes, XenNotes& notes);

/// Reads a legacy `__xen_guest` string ("GUEST_OS=linux,VIRT_BASE=0x...,...").
Result<void> parse_guest_section(std::string_view text, XenNotes& notes);

/// Adds a FEATURES string ("!writable_page_tables|pae_pgdir_above_4gb").
void parse_features(std::string_view text, Features& features);

/// The name of a XENFEAT_ bit without its prefix; empty for a bit without one.
[[nodiscard]] std::string_view feature_name(unsigned bit);

} // namespace parapet::image
