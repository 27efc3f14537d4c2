// SPDX-License-Identifier: Apache-2.0
// The FEATURES string of a PV kernel.
#include <algorithm>
#include <array>

#include "vmm/image/xen_notes.hpp"

namespace parapet::image {
namespace {

/// XENFEAT_ names of xen/features.h by bit number.
constexpr std::array<std::string_view, 18> names{
    "writable_page_tables",
    "writable_descriptor_tables",
    "auto_translated_physmap",
    "supervisor_mode_kernel",
    "pae_pgdir_above_4gb",
    "mmu_pt_update_preserve_ad",
    "highmem_assist",
    "gnttab_map_avail_bits",
    "hvm_callback_vector",
    "hvm_safe_pvclock",
    "hvm_pirqs",
    "dom0",
    "grant_map_identity",
    "memory_op_vnode_supported",
    "ARM_SMCCC_supported",
    "linux_rsdp_unrestricted",
    "not_direct_mapped",
    "direct_mapped",
};

void add_feature(std::string_view word, Features& features) {
    constexpr size_t most_unknown = 32;
    const bool required = word.starts_with('!');
    const std::string_view name = required ? word.substr(1) : word;
    const auto* found = std::ranges::find(names, name);
    if (found == names.end()) {
        if (!name.empty() && features.unknown.size() < most_unknown)
            features.unknown.emplace_back(word);
        return;
    }
    const uint64_t bit = 1ULL << (found - names.begin());
    features.supported |= bit;
    if (required)
        features.required |= bit;
}

} // namespace

void parse_features(std::string_view text, Features& features) {
    while (!text.empty()) {
        const size_t end = std::min(text.find_first_of("| "), text.size());
        add_feature(text.substr(0, end), features);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

std::string_view feature_name(unsigned bit) {
    return bit < names.size() ? names[bit] : std::string_view{};
}

} // namespace parapet::image
