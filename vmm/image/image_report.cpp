// SPDX-License-Identifier: Apache-2.0
// Fills and reads the report of a confined process.
#include "vmm/image/image_report.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

using Number = ImageReport::Number;

template <size_t size>
void put(std::string_view text, std::array<char, size>& to) {
    std::memcpy(to.data(), text.data(), std::min(text.size(), size));
}

template <size_t size>
std::string get(const std::array<char, size>& text) {
    return text_of(std::as_bytes(std::span{text}));
}

Number number_of(const std::optional<uint64_t>& value) {
    return {value.has_value(), value.value_or(0)};
}

std::optional<uint64_t> value_of(const Number& number) {
    return number.present != 0 ? std::optional{number.value} : std::nullopt;
}

void write_notes(const XenNotes& notes, ImageReport& report) {
    report.notes_present = notes.present;
    report.notes_legacy = notes.legacy;
    report.note_entry = number_of(notes.entry);
    report.hypercall_page = number_of(notes.hypercall_page);
    report.virt_base = number_of(notes.virt_base);
    report.paddr_offset = number_of(notes.paddr_offset);
    report.hv_start_low = number_of(notes.hv_start_low);
    report.init_p2m = number_of(notes.init_p2m);
    report.phys32_entry = number_of(notes.phys32_entry);
    report.hypercall_page_number = number_of(notes.hypercall_page_number);
    report.features_supported = notes.features.supported;
    report.features_required = notes.features.required;
    report.pae_mode = static_cast<uint32_t>(notes.pae_mode);
    report.bsd_symtab = notes.bsd_symtab;
    report.suspend_cancel = notes.suspend_cancel;
    report.mod_start_pfn = notes.mod_start_pfn;
    const size_t pairs = std::min(notes.l1_mfn_valid.size(), report.l1_pairs.size());
    report.l1_pair_count = static_cast<uint32_t>(pairs);
    std::copy_n(notes.l1_mfn_valid.begin(), pairs, report.l1_pairs.begin());
    put(notes.guest_os, report.guest_os);
    put(notes.guest_version, report.guest_version);
    put(notes.xen_version, report.xen_version);
    put(notes.loader, report.loader);
    std::string unknown;
    for (const std::string& word : notes.features.unknown)
        unknown += word + ' ';
    put(unknown, report.unknown_features);
}

XenNotes read_notes(const ImageReport& report) {
    XenNotes notes;
    notes.present = report.notes_present != 0;
    notes.legacy = report.notes_legacy != 0;
    notes.guest_os = get(report.guest_os);
    notes.guest_version = get(report.guest_version);
    notes.xen_version = get(report.xen_version);
    notes.loader = get(report.loader);
    notes.entry = value_of(report.note_entry);
    notes.hypercall_page = value_of(report.hypercall_page);
    notes.virt_base = value_of(report.virt_base);
    notes.paddr_offset = value_of(report.paddr_offset);
    notes.hv_start_low = value_of(report.hv_start_low);
    notes.init_p2m = value_of(report.init_p2m);
    notes.phys32_entry = value_of(report.phys32_entry);
    notes.hypercall_page_number = value_of(report.hypercall_page_number);
    notes.l1_mfn_valid.assign(report.l1_pairs.begin(), report.l1_pairs.begin() + report.l1_pair_count);
    notes.features.supported = report.features_supported;
    notes.features.required = report.features_required & report.features_supported;
    const std::string unknown = get(report.unknown_features);
    for (size_t at = 0, end = 0; (end = unknown.find(' ', at)) != std::string::npos; at = end + 1)
        notes.features.unknown.push_back(unknown.substr(at, end - at));
    notes.pae_mode = static_cast<PaeMode>(report.pae_mode);
    notes.bsd_symtab = report.bsd_symtab != 0;
    notes.suspend_cancel = report.suspend_cancel != 0;
    notes.mod_start_pfn = report.mod_start_pfn != 0;
    return notes;
}

bool within_bounds(const ImageReport& report) {
    return report.compression <= static_cast<uint32_t>(Compression::zstd) &&
           report.place <= static_cast<uint32_t>(ElfPlace::unpacked) && report.machine <= UINT16_MAX &&
           report.pae_mode <= static_cast<uint32_t>(PaeMode::bimodal) && report.segment_count > 0 &&
           report.segment_count <= ImageReport::max_segments && report.l1_pair_count <= ImageReport::max_l1_pairs;
}

} // namespace

void write_report(const ParsedImage& parsed, ImageReport& report) {
    report.is_bzimage = parsed.is_bzimage;
    report.compression = static_cast<uint32_t>(parsed.compression);
    report.place = static_cast<uint32_t>(parsed.place);
    report.wide = parsed.elf.wide;
    report.machine = parsed.elf.machine;
    report.entry = parsed.elf.entry;
    const size_t segments = std::min(parsed.elf.segments.size(), report.segments.size());
    report.segment_count = static_cast<uint32_t>(segments);
    std::copy_n(parsed.elf.segments.begin(), segments, report.segments.begin());
    put(parsed.version_text, report.version_text);
    write_notes(parsed.elf.notes, report);
}

void write_error(const std::string& sentence, ImageReport& report) {
    put(sentence, report.error);
}

Result<ParsedImage> read_report(const ImageReport& report) {
    if (report.error.front() != '\0')
        return Error{get(report.error)};
    if (!within_bounds(report))
        return Error{"cannot be read: its data broke the process that does it; copy or download it again"};
    ParsedImage parsed;
    parsed.is_bzimage = report.is_bzimage != 0;
    parsed.compression = static_cast<Compression>(report.compression);
    parsed.place = static_cast<ElfPlace>(report.place);
    parsed.version_text = get(report.version_text);
    parsed.elf.wide = report.wide != 0;
    parsed.elf.machine = static_cast<uint16_t>(report.machine);
    parsed.elf.entry = report.entry;
    parsed.elf.segments.assign(report.segments.begin(), report.segments.begin() + report.segment_count);
    for (Segment& segment : parsed.elf.segments)
        segment.vaddr = 0;
    parsed.elf.notes = read_notes(report);
    return parsed;
}

} // namespace parapet::image
