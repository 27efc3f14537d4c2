// SPDX-License-Identifier: Apache-2.0
// Reads Xen ELF notes (xen/elfnote.h) and the `__xen_guest` string that came before them.
#include "vmm/image/xen_notes.hpp"

#include <algorithm>
#include <charconv>

#include <elf.h>

#include "vmm/image/little_endian.hpp"
#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

enum NoteType : uint32_t {
    XEN_ELFNOTE_ENTRY = 1,
    XEN_ELFNOTE_HYPERCALL_PAGE = 2,
    XEN_ELFNOTE_VIRT_BASE = 3,
    XEN_ELFNOTE_PADDR_OFFSET = 4,
    XEN_ELFNOTE_XEN_VERSION = 5,
    XEN_ELFNOTE_GUEST_OS = 6,
    XEN_ELFNOTE_GUEST_VERSION = 7,
    XEN_ELFNOTE_LOADER = 8,
    XEN_ELFNOTE_PAE_MODE = 9,
    XEN_ELFNOTE_FEATURES = 10,
    XEN_ELFNOTE_BSD_SYMTAB = 11,
    XEN_ELFNOTE_HV_START_LOW = 12,
    XEN_ELFNOTE_L1_MFN_VALID = 13,
    XEN_ELFNOTE_SUSPEND_CANCEL = 14,
    XEN_ELFNOTE_INIT_P2M = 15,
    XEN_ELFNOTE_MOD_START_PFN = 16,
    XEN_ELFNOTE_SUPPORTED_FEATURES = 17,
    XEN_ELFNOTE_PHYS32_ENTRY = 18,
};

constexpr size_t longest_string = 1024;

std::string string_note(std::span<const std::byte> desc) {
    return text_of(desc.first(std::min(desc.size(), longest_string)));
}

/// A numeric note may be written in any of these widths.
std::optional<uint64_t> number_note(std::span<const std::byte> desc) {
    switch (desc.size()) {
    case 1:
        return read_le<uint8_t>(desc, 0);
    case 2:
        return read_le<uint16_t>(desc, 0);
    case 4:
        return read_le<uint32_t>(desc, 0);
    case 8:
        return read_le<uint64_t>(desc, 0);
    default:
        return std::nullopt;
    }
}

PaeMode pae_mode_of(std::string_view text) {
    if (text.find("bimodal") != std::string_view::npos)
        return PaeMode::bimodal;
    return text.starts_with("yes") ? PaeMode::yes : PaeMode::no;
}

bool store_string(uint32_t type, std::string text, XenNotes& notes) {
    switch (type) {
    case XEN_ELFNOTE_XEN_VERSION:
        notes.xen_version = std::move(text);
        return true;
    case XEN_ELFNOTE_GUEST_OS:
        notes.guest_os = std::move(text);
        return true;
    case XEN_ELFNOTE_GUEST_VERSION:
        notes.guest_version = std::move(text);
        return true;
    case XEN_ELFNOTE_LOADER:
        notes.loader = std::move(text);
        return true;
    case XEN_ELFNOTE_PAE_MODE:
        notes.pae_mode = pae_mode_of(text);
        return true;
    case XEN_ELFNOTE_FEATURES:
        parse_features(text, notes.features);
        return true;
    case XEN_ELFNOTE_BSD_SYMTAB:
        notes.bsd_symtab = text.starts_with("yes");
        return true;
    default:
        return false;
    }
}

/// False for a type that is not numeric.
bool store_number(uint32_t type, uint64_t value, XenNotes& notes) {
    switch (type) {
    case XEN_ELFNOTE_ENTRY:
        notes.entry = value;
        return true;
    case XEN_ELFNOTE_HYPERCALL_PAGE:
        notes.hypercall_page = value;
        return true;
    case XEN_ELFNOTE_VIRT_BASE:
        notes.virt_base = value;
        return true;
    case XEN_ELFNOTE_PADDR_OFFSET:
        notes.paddr_offset = value;
        return true;
    case XEN_ELFNOTE_HV_START_LOW:
        notes.hv_start_low = value;
        return true;
    case XEN_ELFNOTE_SUSPEND_CANCEL:
        notes.suspend_cancel = value != 0;
        return true;
    case XEN_ELFNOTE_INIT_P2M:
        notes.init_p2m = value;
        return true;
    case XEN_ELFNOTE_MOD_START_PFN:
        notes.mod_start_pfn = value != 0;
        return true;
    case XEN_ELFNOTE_SUPPORTED_FEATURES:
        notes.features.supported |= value;
        return true;
    case XEN_ELFNOTE_PHYS32_ENTRY:
        notes.phys32_entry = value;
        return true;
    default:
        return false;
    }
}

/// Pairs of maddr_t: 8 bytes each for 64-bit and PAE kernels. A tail that makes no pair is left out.
void store_l1_mfn_valid(std::span<const std::byte> desc, XenNotes& notes) {
    constexpr size_t most_pairs = 16;
    for (size_t at = 0; at + 16 <= desc.size() && notes.l1_mfn_valid.size() < most_pairs; at += 16)
        notes.l1_mfn_valid.push_back({read_le<uint64_t>(desc, at), read_le<uint64_t>(desc, at + 8)});
}

Result<void> store_note(uint32_t type, std::span<const std::byte> desc, XenNotes& notes) {
    notes.present = true;
    if (type == XEN_ELFNOTE_L1_MFN_VALID) {
        store_l1_mfn_valid(desc, notes);
        return {};
    }
    if (type > XEN_ELFNOTE_PHYS32_ENTRY || store_string(type, string_note(desc), notes))
        return {};
    XenNotes ignored;
    if (!store_number(type, 0, ignored))
        return {};
    const auto value = number_note(desc);
    if (!value)
        return Error{"has a Xen note of type " + std::to_string(type) + " with a " + std::to_string(desc.size()) +
                     "-byte number"};
    store_number(type, *value, notes);
    return {};
}

uint64_t note_padded(uint64_t size) {
    return (size + 3) & ~3ULL;
}

} // namespace

Result<void> parse_notes(std::span<const std::byte> bytes, XenNotes& notes) {
    while (bytes.size() >= sizeof(Elf64_Nhdr)) {
        const auto header = read_le<Elf64_Nhdr>(bytes, 0); // the same in ELF32
        bytes = bytes.subspan(sizeof header);
        const Error too_long{"has a note that does not fit into its segment"};
        const uint64_t name_size = note_padded(header.n_namesz);
        if (name_size > bytes.size())
            return too_long;
        const bool is_xen =
            (header.n_namesz == 3 || header.n_namesz == 4) && text_of(bytes.first(header.n_namesz)) == "Xen";
        bytes = bytes.subspan(name_size);
        // GRUB's 32-bit image ends within the padding that its last string counts in; Xen takes it.
        XenNotes ignored;
        if (header.n_descsz > bytes.size() && !(is_xen && store_string(header.n_type, {}, ignored)))
            return too_long;
        const auto desc = bytes.first(std::min<size_t>(header.n_descsz, bytes.size()));
        if (is_xen)
            if (auto stored = store_note(header.n_type, desc, notes); !stored)
                return stored;
        // The padding after the last note may be missing.
        bytes = bytes.subspan(std::min<uint64_t>(note_padded(header.n_descsz), bytes.size()));
    }
    return {};
}

namespace {

/// "0x1000" or decimal, as strtoull with base 0 would take it; nullopt if it is no number.
std::optional<uint64_t> guest_number(std::string_view text) {
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    if (hexadecimal)
        text.remove_prefix(2);
    uint64_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, hexadecimal ? 16 : 10);
    if (failure != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

/// One "KEY=VALUE" or "KEY" of `__xen_guest`. False: its value is no number though it should be one.
bool store_guest_word(std::string_view word, XenNotes& notes) {
    const size_t equals = std::min(word.find('='), word.size());
    const std::string_view key = word.substr(0, equals);
    const std::string_view value = word.substr(std::min(equals + 1, word.size()));
    struct Text {
        std::string_view key;
        uint32_t type;
    };
    static constexpr Text texts[] = {{"GUEST_OS", XEN_ELFNOTE_GUEST_OS},   {"GUEST_VER", XEN_ELFNOTE_GUEST_VERSION},
                                     {"XEN_VER", XEN_ELFNOTE_XEN_VERSION}, {"LOADER", XEN_ELFNOTE_LOADER},
                                     {"PAE", XEN_ELFNOTE_PAE_MODE},        {"FEATURES", XEN_ELFNOTE_FEATURES}};
    for (const Text& text : texts)
        if (key == text.key)
            return store_string(text.type, std::string{value}, notes);
    struct Number {
        std::string_view key;
        std::optional<uint64_t> XenNotes::*field;
    };
    static constexpr Number numbers[] = {{"VIRT_BASE", &XenNotes::virt_base},
                                         {"VIRT_ENTRY", &XenNotes::entry},
                                         {"ELF_PADDR_OFFSET", &XenNotes::paddr_offset},
                                         {"HYPERCALL_PAGE", &XenNotes::hypercall_page_number}};
    for (const Number& number : numbers)
        if (key == number.key) {
            notes.*number.field = guest_number(value);
            return (notes.*number.field).has_value();
        }
    if (key == "BSD_SYMTAB")
        notes.bsd_symtab = true;
    return true;
}

} // namespace

Result<void> parse_guest_section(std::string_view text, XenNotes& notes) {
    notes.present = true;
    notes.legacy = true;
    while (!text.empty()) {
        const size_t end = std::min(text.find(','), text.size());
        const std::string_view word = text.substr(0, end);
        if (!store_guest_word(word, notes))
            return Error{"has '" + std::string{word} + "' in its __xen_guest section, which is not a number"};
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {};
}

} // namespace parapet::image
