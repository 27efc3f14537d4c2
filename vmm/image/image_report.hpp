// SPDX-License-Identifier: Apache-2.0
// What a confined process says of a stranger's kernel: plain numbers and short texts in shared memory, of a fixed size.
// Data that has taken that process over may have written anything there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "support/result.hpp"
#include "vmm/image/elf.hpp"
#include "vmm/image/kernel_image.hpp"

namespace parapet::image {

/// Where the ELF lies that the report speaks of.
enum class ElfPlace : uint32_t { file, cached, unpacked };

/// The same, as the program uses it.
struct ParsedImage {
    bool is_bzimage = false;
    Compression compression = Compression::none;
    ElfPlace place = ElfPlace::file;
    std::string version_text;
    Elf elf;
};

struct ImageReport {
    struct Number {
        uint64_t present;
        uint64_t value;
    };
    static constexpr size_t max_segments = 256;
    static constexpr size_t max_l1_pairs = 16;

    uint32_t is_bzimage, compression, place;
    uint32_t wide, machine;
    uint64_t entry;
    uint32_t segment_count;
    std::array<Segment, max_segments> segments;

    uint32_t notes_present, notes_legacy;
    Number note_entry, hypercall_page, virt_base, paddr_offset, hv_start_low, init_p2m, phys32_entry,
        hypercall_page_number;
    uint64_t features_supported, features_required;
    uint32_t pae_mode, bsd_symtab, suspend_cancel, mod_start_pfn;
    uint32_t l1_pair_count;
    std::array<L1MfnValid, max_l1_pairs> l1_pairs;

    // Texts end at a NUL, or at their end.
    std::array<char, 2048> error; ///< what is wrong with the file, if anything: the rest then says nothing
    std::array<char, 256> version_text;
    std::array<char, 1024> guest_os, guest_version, xen_version, loader;
    std::array<char, 2048> unknown_features; ///< a space after each
};
static_assert(std::is_trivially_copyable_v<ImageReport>);

/// In the confined process. `report` is zero before.
void write_report(const ParsedImage& parsed, ImageReport& report);
void write_error(const std::string& sentence, ImageReport& report);

/// Believes nothing: counts and enumerators are within their bounds, what is text is printable; error: the sentence.
/// Whether the numbers make sense is for check_segments(), check_is_pv() and apply_layout().
[[nodiscard]] Result<ParsedImage> read_report(const ImageReport& report);

} // namespace parapet::image
