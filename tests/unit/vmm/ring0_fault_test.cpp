// SPDX-License-Identifier: Apache-2.0
// An exception at ring 0 is never pushed where a guest's RSP points. On a real KVM: each SYSRET of the nucleus, which
// runs with the guest's RSP loaded, is made to fault (EFER.SCE is clear: #UD) with an RSP that points at the nucleus's
// own data.
#include "vmm/nucleus_loader.hpp"
#include "vmm/run_limit.hpp"
#include "vmm/vcpu_setup.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <sys/ioctl.h>

namespace parapet::vmm {
namespace {

using namespace doorbell;

constexpr std::uint64_t domain_pages = 16 << 8;
constexpr std::byte untouched{0xa5};

struct Machine {
    explicit Machine(Home home) {
        MachineLayout layout;
        layout.frames = nucleus_frames(domain_pages) + domain_pages;
        auto made = GuestRam::create(layout);
        EXPECT_TRUE(made);
        ram = std::make_unique<GuestRam>(*std::move(made));
        place = load_nucleus(*ram, {home, M2P_SLOT_ABI, 1, 7});
    }
    /// A byte of the nucleus, by the tables of its root.
    [[nodiscard]] std::byte* at(std::uint64_t va) const {
        std::uint64_t mfn = place.stub_root_mfn;
        for (unsigned shift = 39; shift >= 12; shift -= 9) {
            mfn = (ram->frame_as<std::uint64_t>(mfn)[va >> shift & 511] & 0x000ffffffffff000) / page_size;
        }
        return ram->frame(mfn) + va % page_size;
    }
    [[nodiscard]] std::uint64_t word(std::uint64_t va) const {
        std::uint64_t value = 0;
        std::memcpy(&value, at(va), sizeof(value));
        return value;
    }
    [[nodiscard]] std::uint64_t ist_of(unsigned vector) const {
        const unsigned ist = word(IDT_VA + vector * 16ULL) >> 32 & 7;
        return ist == 0 ? 0 : word(vcpu_area_va(0) + AREA_TSS + 0x24 + (ist - 1) * 8ULL);
    }

    std::unique_ptr<GuestRam> ram;
    NucleusPlace place;
};

std::vector<std::uint64_t> all_sysrets(const Machine& machine) {
    constexpr std::uint8_t sysretq[] = {0x48, 0x0f, 0x07};
    std::vector<std::uint64_t> found;
    for (std::uint64_t va = NUCLEUS_VA; va + 3 <= machine.place.header.text_end; va++) {
        if (va % page_size <= page_size - 3 && std::memcmp(machine.at(va), sysretq, 3) == 0) {
            found.push_back(va);
        }
    }
    return found;
}

/// A vCPU about to execute the SYSRET at `rip`, which will fault.
void start_at(const KvmSystem& system, KvmVcpu& vcpu, const Machine& machine, std::uint64_t rip, std::uint64_t rsp) {
    const auto cpuid = system.supported_cpuid();
    ASSERT_TRUE(cpuid);
    CpuidPolicy policy;
    policy.machine = *cpuid;
    Substrate substrate;
    substrate.syscall_arrival = SyscallArrival::page_fault; // EFER.SCE stays clear
    ASSERT_TRUE(set_up_vcpu(vcpu, 0, machine.place, substrate, policy));
    kvm_regs regs{};
    ASSERT_EQ(::ioctl(vcpu.fd(), KVM_GET_REGS, &regs), 0);
    regs.rip = rip;
    regs.rsp = rsp;
    ASSERT_EQ(::ioctl(vcpu.fd(), KVM_SET_REGS, &regs), 0);
}

/// Until it waits for ever, as a nucleus does that has no domain to say its fault of.
void run(KvmVcpu& vcpu) {
    const RunLimit alarm{std::chrono::milliseconds{500}};
    while (!alarm.over()) {
        if (::ioctl(vcpu.fd(), KVM_RUN, 0) == 0 && vcpu.state().exit_reason != KVM_EXIT_INTR) {
            ADD_FAILURE() << "KVM stopped it: " << vcpu.state().exit_reason;
            return;
        }
    }
}

TEST(Ring0Fault, ASysretThatFaultsWritesNothingWhereTheGuestsStackIs) {
    const auto system = KvmSystem::open();
    if (!system) {
        GTEST_SKIP() << system.error().message;
    }
    const Machine machine{Home::ring0};
    const std::vector<std::uint64_t> sysrets = all_sysrets(machine);
    EXPECT_GE(sysrets.size(), 3U);
    for (const std::uint64_t rip : sysrets) {
        const std::uint64_t victim = M2P_WRITABLE_VA;
        std::fill_n(machine.at(victim), page_size, untouched);
        auto vm = KvmVm::create(*system);
        ASSERT_TRUE(vm);
        ASSERT_TRUE(vm->add_memory(0, 0, machine.ram->base(), machine.ram->bytes()));
        auto vcpu = KvmVcpu::create(*system, *vm, 0);
        ASSERT_TRUE(vcpu);
        start_at(*system, *vcpu, machine, rip, victim + page_size / 2);
        run(*vcpu);
        EXPECT_EQ(std::count(machine.at(victim), machine.at(victim) + page_size, untouched),
                  static_cast<std::ptrdiff_t>(page_size))
            << "rip " << std::hex << rip;
        const std::uint64_t frame = vcpu_area_va(0) + AREA_FAULT_END - 40; // rip cs rflags rsp ss
        EXPECT_EQ(machine.word(frame), rip) << "what faulted is known";
        EXPECT_EQ(machine.word(frame + 24), victim + page_size / 2);
    }
}

TEST(Ring0Fault, SmepIsOnWhereKvmOffersIt) {
    const auto system = KvmSystem::open();
    if (!system) {
        GTEST_SKIP() << system.error().message;
    }
    const auto supported = system->supported_cpuid();
    ASSERT_TRUE(supported);
    for (const Home home : {Home::ring0, Home::ring3}) {
        const Machine machine{home};
        auto vm = KvmVm::create(*system);
        ASSERT_TRUE(vm);
        auto vcpu = KvmVcpu::create(*system, *vm, 0);
        ASSERT_TRUE(vcpu);
        ASSERT_TRUE(set_up_vcpu(*vcpu, 0, machine.place, {}, make_cpuid_policy({}, *supported)));
        kvm_sregs sregs{};
        ASSERT_EQ(::ioctl(vcpu->fd(), KVM_GET_SREGS, &sregs), 0);
        constexpr std::uint64_t smep = 1 << 20;
        EXPECT_EQ((sregs.cr4 & smep) != 0, uses_smep(home, *supported));
    }
}

TEST(Ring0Fault, WhatMayComeOnAGuestsStackHasAStackOfItsOwn) {
    const std::uint64_t area = vcpu_area_va(0);
    for (const Home home : {Home::ring0, Home::ring3}) {
        const Machine machine{home};
        for (const unsigned vector : {1, 2, 8, 18}) { // at any instruction
            EXPECT_NE(machine.ist_of(vector), 0U) << vector;
        }
        for (const unsigned vector : {6, 11, 12, 13}) { // of SYSRET, which home ring3 has none of
            EXPECT_EQ(machine.ist_of(vector), all_sysrets(machine).empty() ? 0 : area + AREA_FAULT_END) << vector;
        }
    }
}

} // namespace
} // namespace parapet::vmm
