// SPDX-License-Identifier: Apache-2.0
// SYSCALL of 32-bit programs where it arrives as #UD: it becomes the guest's syscall32 callback, and nothing else does.
// And SYSENTER where it arrives as #GP.
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/callback.hpp"
#include "pv-abi/mmu.hpp"
#include "tests/unit/nucleus/guest_code.hpp"

#include <gtest/gtest.h>

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 CODE32 = 0x00cffb000000ffff, CODE64 = 0x00affb000000ffff, DATA = 0x00cff3000000ffff;
constexpr u16 USER32_CS = 0x23, USER64_CS = 0x33, LDT_CS = 0x0f;

class CompatSyscall : public ::testing::Test {
protected:
    CompatSyscall() {
        // Page 5 as GDT: 0x20 32-bit code, 0x28 data, 0x30 64-bit code; page 6 as LDT.
        vm.at<u64>(5, 0x20) = CODE32;
        vm.at<u64>(5, 0x28) = DATA;
        vm.at<u64>(5, 0x30) = CODE64;
        vm.at<u64>(6, 0x08) = CODE32 | 0x10'0000ULL << 16 | 0x4ULL << 56; // base 0x04100000
        vcpu.gdt_frames[0] = vm.mfn(5).number;
        vcpu.gdt_entries = 16;
        vcpu.ldt_base = vm.va(6).address;
        vcpu.ldt_entries = 4;
        EXPECT_EQ(vm.call(do_callback_op, CALLBACKOP_register,
                          vm.arg(callback_register64{CALLBACKTYPE_syscall32, CALLBACKF_mask_events, callback}).address),
                  0);
        EXPECT_EQ(vm.call(do_stack_switch, 0, vm.va(3).address), 0);
        vcpu.syscall_masks_events = 1; // as CALLBACKTYPE_syscall says, for both
        vcpu.info64().evtchn_upcall_mask = 0;
    }

    /// User mode, in the only root that the fake machine has; low addresses are not mapped there, so the code segment's
    /// base makes up for it where rip is 32 bits wide.
    Regs& user_at(std::initializer_list<int> code, u16 cs) {
        Regs& regs = guest_at(vm, code);
        map_low();
        vcpu.user_root = vcpu.kernel_root;
        vcpu.kernel_mode = 0;
        regs.cs = cs;
        regs.rip = LOW_VA;
        return regs;
    }

    /// The code page once more, at LOW_VA.
    void map_low() {
        const auto entry = [](Mfn mfn) { return Pte::make(mfn, Pte::PRESENT | Pte::RW | Pte::USER); };
        Pte* l4 = machine_table(vm.mfn(vm.l4_pfn()));
        l4[0] = entry(vm.mfn(20));
        machine_table(vm.mfn(20))[0] = entry(vm.mfn(21));
        machine_table(vm.mfn(21))[LOW_VA >> 21] = entry(vm.mfn(22));
        machine_table(vm.mfn(22))[LOW_VA >> 12 & 511] = entry(vm.mfn(0));
        machine_table(vm.mfn(21))[LDT_VA >> 21] = entry(vm.mfn(23));
        machine_table(vm.mfn(23))[LDT_VA >> 12 & 511] = entry(vm.mfn(0));
    }
    Pte* machine_table(Mfn mfn) { return reinterpret_cast<Pte*>(vm.frame(mfn)); }

    static constexpr u64 LOW_VA = 0x400000, LDT_VA = 0x4100000;
    FakeVm vm;
    Vcpu& vcpu = vm.vcpu();
    const u64 callback = vm.va(4, 0x80).address;
};

TEST_F(CompatSyscall, EntersTheCallback) {
    for (const u16 cs : {USER32_CS, x64::FLAT_RING3_CS32}) {
        Regs& regs = user_at({0x0f, 0x05}, cs);
        regs.rflags = rflags::FIXED | rflags::IF | rflags::CF | rflags::RF;
        regs.rsp = 0x1234;
        (void)fault(vm, TRAP_invalid_op);
        EXPECT_EQ(regs.rip, callback);
        EXPECT_EQ(vcpu.kernel_mode, 1);
        EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 1);
        EXPECT_EQ(regs.rflags, rflags::IF | rflags::FIXED);
        struct {
            u64 rcx, r11, rip, cs, rflags, rsp, ss;
        } frame{};
        copy_bytes(&frame, &vm.at<u8>(2, PAGE_SIZE - sizeof(frame)), sizeof(frame));
        EXPECT_EQ(frame.rip, LOW_VA + 2);
        EXPECT_EQ(frame.rcx, LOW_VA + 2);
        EXPECT_EQ(frame.r11, rflags::FIXED | rflags::IF | rflags::CF);
        EXPECT_EQ(frame.rflags, frame.r11);
        EXPECT_EQ(frame.cs, x64::FLAT_RING3_CS32);
        EXPECT_EQ(frame.ss, x64::FLAT_RING3_SS32);
        EXPECT_EQ(frame.rsp, 0x1234u);
        vcpu.info64().evtchn_upcall_mask = 0;
    }
}

TEST_F(CompatSyscall, PrefixesMakeNoDifferenceButLockDoes) {
    Regs& regs = user_at({0x66, 0x3e, 0xf3, 0x0f, 0x05}, USER32_CS);
    (void)fault(vm, TRAP_invalid_op);
    EXPECT_EQ(regs.rip, callback);
    EXPECT_EQ(regs.rcx, LOW_VA + 5);
    user_at({0xf0, 0x0f, 0x05}, USER32_CS);
    (void)fault(vm, TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, TRAP_invalid_op));
    // Sixteen bytes are no instruction.
    user_at({0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0x05},
            USER32_CS);
    (void)fault(vm, TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, TRAP_invalid_op));
}

TEST_F(CompatSyscall, ByTheBaseOfASegmentInTheLdt) {
    Regs& regs = user_at({0x0f, 0x05}, LDT_CS);
    regs.rip = 0;
    (void)fault(vm, TRAP_invalid_op);
    EXPECT_EQ(regs.rip, callback);
    EXPECT_EQ(regs.rcx, 2u);
}

TEST_F(CompatSyscall, EverythingElseIsTheGuestsFault) {
    struct {
        std::initializer_list<int> code;
        u16 cs;
    } const cases[] = {
        {{0x0f, 0x05}, USER64_CS},            // of 64-bit code
        {{0x0f, 0x05}, x64::FLAT_RING3_CS64}, //
        {{0x0f, 0x05}, 0x2b},                 // a data segment
        {{0x0f, 0x05}, 0x3b},                 // an empty entry
        {{0x0f, 0x05}, 0xff8b},               // beyond the table
        {{0x0f, 0x05}, 0x17},                 // an empty entry of the LDT
        {{0x0f, 0x0b}, USER32_CS},            // ud2
        {{0x90, 0x0f, 0x05}, USER32_CS},      // behind another instruction
    };
    for (const auto& [code, cs] : cases) {
        user_at(code, cs);
        (void)fault(vm, TRAP_invalid_op);
        EXPECT_TRUE(reached_handler(vm, TRAP_invalid_op)) << std::hex << cs;
        EXPECT_EQ(vm.vcpu().kernel_mode, 1);
        vcpu.info64().evtchn_upcall_mask = 0;
    }
}

TEST_F(CompatSyscall, SysenterThatIsAProtectionFaultEntersItsCallback) {
    vm.boot.syscall_arrival = doorbell::SyscallArrival::page_fault;
    const u64 sysenter = vm.va(4, 0x180).address;
    vcpu.sysenter_callback = {.address = sysenter, .mask_events = true};
    Regs& regs = user_at({0x3e, 0x0f, 0x34}, USER32_CS);
    regs.rflags = rflags::FIXED | rflags::IF | rflags::CF;
    regs.rsp = 0x1234;
    (void)fault(vm, TRAP_gp_fault);
    EXPECT_EQ(regs.rip, sysenter);
    EXPECT_EQ(vcpu.kernel_mode, 1);
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 1);
    struct {
        u64 rcx, r11, rip, cs, rflags, rsp, ss;
    } frame{};
    copy_bytes(&frame, &vm.at<u8>(2, PAGE_SIZE - sizeof(frame)), sizeof(frame));
    EXPECT_EQ(frame.rip, 0u);
    EXPECT_EQ(frame.cs, 3u);
    EXPECT_EQ(frame.rsp, 0u);
    EXPECT_EQ(frame.ss, x64::FLAT_KERNEL_SS);
    EXPECT_EQ(frame.rflags, rflags::FIXED | rflags::IF | rflags::CF);
}

TEST_F(CompatSyscall, SysenterElsewhereIsAFault) {
    const auto is_fault = [&](int trap, std::initializer_list<int> code, u16 cs, u64 error) {
        user_at(code, cs);
        (void)fault(vm, trap, error);
        EXPECT_TRUE(reached_handler(vm, trap)) << std::hex << cs;
        vcpu.info64().evtchn_upcall_mask = 0;
    };
    vcpu.sysenter_callback = {.address = vm.va(4, 0x180).address, .mask_events = true};
    is_fault(TRAP_gp_fault, {0x0f, 0x34}, USER32_CS, 0); // where the processor has it, it does not fault
    vm.boot.syscall_arrival = doorbell::SyscallArrival::page_fault;
    is_fault(TRAP_gp_fault, {0x0f, 0x34}, USER64_CS, 0);
    is_fault(TRAP_gp_fault, {0x0f, 0x34}, USER32_CS, 8);
    is_fault(TRAP_gp_fault, {0x0f, 0x05}, USER32_CS, 0);
    is_fault(TRAP_invalid_op, {0x0f, 0x34}, USER32_CS, 0); // AMD's
    vcpu.sysenter_callback.address = 0;
    is_fault(TRAP_gp_fault, {0x0f, 0x34}, USER32_CS, 0);
}

TEST_F(CompatSyscall, WithoutACallbackAndInTheKernel) {
    user_at({0x0f, 0x05}, USER32_CS);
    vcpu.kernel_mode = 1;
    (void)fault(vm, TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, TRAP_invalid_op));
    vcpu.syscall32_entry = 0;
    Regs& regs = user_at({0x0f, 0x05}, USER32_CS);
    (void)fault(vm, TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, TRAP_invalid_op));
    (void)regs;
}

} // namespace
} // namespace parapet::nucleus::test
