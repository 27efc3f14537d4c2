// SPDX-License-Identifier: Apache-2.0
// Guests with the machine-to-physical table's address compiled in, on substrates that have it there and that do not.
#include <gtest/gtest.h>

#include "vmm/fixed_m2p.hpp"

namespace parapet::vmm {
namespace {

image::XenNotes notes_of(const char* guest_os) {
    image::XenNotes notes;
    notes.guest_os = guest_os;
    return notes;
}

TEST(FixedM2p, RefusedWithTheWayOutWhereTheTableIsElsewhere) {
    Substrate substrate;
    substrate.name = "kvm-pvm";
    substrate.m2p_slot = doorbell::M2P_SLOT_OTHER;
    for (const char* guest : {"Mini-OS", "mini-os", "Mini-OS-x86_64"}) {
        const auto checked = check_fixed_m2p(notes_of(guest), substrate);
        ASSERT_FALSE(checked) << guest;
        EXPECT_NE(checked.error().message.find("tools/laptop"), std::string::npos);
        EXPECT_NE(checked.error().message.find("kvm-pvm"), std::string::npos);
        EXPECT_EQ(checked.error().message.find('\n'), std::string::npos);
    }
    for (const char* guest : {"linux", "GRUB", ""})
        EXPECT_TRUE(check_fixed_m2p(notes_of(guest), substrate)) << guest;
}

TEST(FixedM2p, RunsWhereTheTableIsInItsPlace) {
    const Substrate substrate{.name = "kvm_amd"};
    EXPECT_TRUE(check_fixed_m2p(notes_of("Mini-OS"), substrate));
}

} // namespace
} // namespace parapet::vmm
