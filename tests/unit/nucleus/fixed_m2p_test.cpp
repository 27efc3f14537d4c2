// SPDX-License-Identifier: Apache-2.0
// A guest kernel that reads the machine-to-physical table at the ABI's address, where the substrate has it elsewhere.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/nucleus/guest_code.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 FIXED = doorbell::slot_va(doorbell::M2P_SLOT_ABI);

/// Let the guest kernel read `va`, which is not mapped.
void read_at(FakeVm& vm, u64 va) {
    guest_at(vm, {0x48, 0x8b, 0x07}).rdi = va;
    vm.vcpu().cr2 = va;
    (void)fault(vm, abi::TRAP_page_fault, abi::PFEC_user_mode);
}

TEST(FixedM2p, EndsTheDomainWithTheWayOut) {
    FakeVm vm;
    vm.boot.m2p_va = doorbell::slot_va(doorbell::M2P_SLOT_OTHER);
    read_at(vm, FIXED + vm.mfn(5).number * sizeof(u64));
    EXPECT_TRUE(vm.domain().dead);
    const std::string reason = vm.mailbox().request.crash.reason;
    EXPECT_NE(reason.find("machine-to-physical"), std::string::npos) << reason;
    EXPECT_NE(reason.find("tools/laptop"), std::string::npos) << "cut off: " << reason;
}

TEST(FixedM2p, OtherFaultsAreTheGuests) {
    FakeVm vm;
    vm.boot.m2p_va = doorbell::slot_va(doorbell::M2P_SLOT_OTHER);
    read_at(vm, FIXED + vm.boot.max_mfn * sizeof(u64)); // behind the table
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    read_at(vm, 0x1000);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_FALSE(vm.domain().dead);
}

TEST(FixedM2p, WhereTheTableIsInItsPlaceAFaultIsAFault) {
    FakeVm vm;
    read_at(vm, FIXED);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_FALSE(vm.domain().dead);
}

} // namespace
} // namespace parapet::nucleus::test
