// SPDX-License-Identifier: Apache-2.0
#include "vmm/fixed_m2p.hpp"

#include <algorithm>
#include <cctype>

namespace parapet::vmm {

namespace {

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

} // namespace

Result<void> check_fixed_m2p(const image::XenNotes& notes, const Substrate& substrate) {
    const std::string guest = lower(notes.guest_os);
    const bool fixed = guest.find("mini-os") != std::string::npos || guest.find("minios") != std::string::npos;
    if (!fixed || substrate.m2p_slot == doorbell::M2P_SLOT_ABI) {
        return {};
    }
    return Error{"this kernel is a " + notes.guest_os +
                 ", which has the address of Xen's machine-to-physical table compiled in, and " + substrate.name +
                 " keeps that address for itself; run it on a host with VMX or SVM, or in tools/laptop"};
}

} // namespace parapet::vmm
