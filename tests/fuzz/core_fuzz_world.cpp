// SPDX-License-Identifier: Apache-2.0
// The virtual machine that is fuzzed; see core_fuzz_world.hpp.
#include "tests/fuzz/core_fuzz_world.hpp"

#include <cstdio>
#include <cstdlib>

#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/mmu.hpp"
#include "pv-abi/trap.hpp"
#include "pv-abi/vm_assist.hpp"

namespace parapet::nucleus::fuzz {

namespace {

constexpr u64 TABLE_FLAGS = Pte::PRESENT | Pte::RW | Pte::USER | Pte::ACCESSED | Pte::DIRTY;

/// An AMD processor with what the MSR and XSAVE rules ask about.
constexpr doorbell::CpuidLeaf LEAVES[] = {
    {0, 0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65, 0},
    {1, 0, 0, 0x800f12, 0, (1u << 26) | (1u << 31), (1u << 4) | (1u << 2), 0},
    {7, 0, 1, 0, 1, 1u << 22, 1u << 26, 0},
    {0x80000001, 0, 0, 0, 0, 0, 1u << 27, 0},
};

} // namespace

void fail(const char* what, u64 a, u64 b, u64 c) {
    std::fprintf(stderr, "core_fuzz: %s (%#lx %#lx %#lx)\n", what, a, b, c);
    std::abort();
}

World::World() : vm{{.nr_pages = NR_PAGES, .spare_pages = SPARE, .store_pfn = STORE, .console_pfn = CONSOLE}} {
    vm.machine.recording = false;
    vm.boot.nr_cpuid = static_cast<u32>(std::size(LEAVES));
    for (unsigned i = 0; i < std::size(LEAVES); i++)
        vm.boot.cpuid[i] = LEAVES[i];
    vm.boot.xcr0 = 7;
    vm.machine.tsc_step = 100;
    for (u64 i = 0; i < 16; i++)
        words(test::FakeVm::STUB_ROOT_MFN)[doorbell::HOLE_FIRST_SLOT + i] = domain().hole_template[i];
    for (u64 i = SPARE / 2; i-- > 0;)
        add_free_frame(domain(), {test::FakeVm::FIRST_MFN + NR_PAGES + i});
    vm.add_vcpu();
    vm.vcpu(1).user_cr3 = vm.boot.stub_root_mfn << PAGE_SHIFT;
    place_info(vm.vcpu(1), domain().shared_mfn, offsetof(abi::shared_info64, vcpu_info) + sizeof(abi::vcpu_info64));
    start_cpus();
    start_user_root();
    start_play_pages();
    for (u32 id = 0; id < 2; id++) {
        (void)vm.take_work(vm.vcpu(id));
        vm.vcpu(id).trace = {};
    }
    start_ = vm.save();
    vm.machine.on_request = [this](doorbell::Request kind, u32 length) { return serve(kind, length); };
}

void World::expect_call(u64 number, u64 a0, u64 a1, u64 a2, u64 a3) {
    require(vm.hypercall(number, a0, a1, a2, a3) == 0, "the set-up is refused", number, a0, a1);
}

void World::start_cpus() {
    Vcpu& first = vm.vcpu();
    for (unsigned vector = 0; vector < 256; vector++) {
        const bool any_mode = vector == abi::TRAP_int3 || vector == 0x80;
        const unsigned privilege = any_mode ? 3 : vector & 3;
        set_trap(first, static_cast<u8>(vector),
                 {.address = va(HANDLERS, u64{vector} * 8),
                  .cs = abi::x64::FLAT_KERNEL_CS,
                  .flags = static_cast<u8>(((vector & 1) != 0 ? abi::TI_IF : 0) | privilege)});
    }
    first.event_callback = {va(HANDLERS), true};
    first.failsafe_callback = {va(HANDLERS, 16), true};
    first.syscall_entry = va(HANDLERS, 32);
    first.kernel_sp = va(KERNEL_STACK, PAGE_SIZE);
    domain().vm_assist = 1ULL << abi::VMASST_TYPE_writable_pagetables;
}

/// A root with two pages of a program; its lower half shows in the kernel's root too.
void World::start_user_root() {
    const u64 tables[] = {USER_L4, USER_L3, USER_L2, USER_L1};
    for (const u64 pfn : tables)
        expect_call(abi::HYPERVISOR_update_va_mapping, va(pfn), mfn(pfn) << PAGE_SHIFT | Pte::PRESENT | Pte::USER);
    words(mfn(USER_L4))[0] = mfn(USER_L3) << PAGE_SHIFT | TABLE_FLAGS;
    words(mfn(USER_L3))[0] = mfn(USER_L2) << PAGE_SHIFT | TABLE_FLAGS;
    words(mfn(USER_L2))[table_index(USER_VA, 2)] = mfn(USER_L1) << PAGE_SHIFT | TABLE_FLAGS;
    words(mfn(USER_L1))[0] = mfn(USER_CODE) << PAGE_SHIFT | TABLE_FLAGS;
    words(mfn(USER_L1))[1] = mfn(USER_DATA) << PAGE_SHIFT | TABLE_FLAGS;
    abi::mmuext_op64 ops[2]{};
    ops[0].cmd = abi::MMUEXT_PIN_L4_TABLE;
    ops[1].cmd = abi::MMUEXT_NEW_USER_BASEPTR;
    ops[0].arg1.mfn = ops[1].arg1.mfn = mfn(USER_L4);
    expect_call(abi::HYPERVISOR_mmuext_op, vm.arg(ops, ARGS).address, 2, 0, abi::DOMID_SELF);
    const abi::mmu_update update{vm.vcpu().kernel_root.address(), mfn(USER_L3) << PAGE_SHIFT | TABLE_FLAGS};
    expect_call(abi::HYPERVISOR_mmu_update, vm.arg(update, ARGS).address, 1, 0, abi::DOMID_SELF);
}

void World::start_play_pages() {
    for (u64 i = 0; i < PLAY_READ_ONLY; i++) {
        const u64 entry = mfn(PLAY + i) << PAGE_SHIFT | Pte::PRESENT | Pte::USER;
        expect_call(abi::HYPERVISOR_update_va_mapping, va(PLAY + i), entry);
    }
    for (u64 i = 0; i < 2; i++) {
        abi::mmuext_op64 op{};
        op.cmd = abi::MMUEXT_PIN_L1_TABLE;
        op.arg1.mfn = mfn(PLAY + i);
        expect_call(abi::HYPERVISOR_mmuext_op, vm.arg(op, ARGS).address, 1, 0, abi::DOMID_SELF);
    }
    const u64 gdt[] = {mfn(PLAY + PLAY_READ_ONLY - 1)};
    expect_call(abi::HYPERVISOR_set_gdt, vm.arg(gdt, ARGS).address, 512);
}

void World::reset(Record& mode) {
    vm.restore(*start_);
    crashed = false;
    leases.clear();
    const u8 bits = mode.byte();
    vm.boot.syscall_arrival = (bits & 1) != 0 ? doorbell::SyscallArrival::page_fault : doorbell::SyscallArrival::ring0;
    vm.boot.home = (bits & 2) != 0 ? doorbell::Home::ring3 : doorbell::Home::ring0;
    domain().grants.max_frames = (bits & 4) != 0 ? 3 : 32;
    if ((bits & 8) != 0)
        domain().nr_vcpus = 1;
    if ((bits & 16) != 0)
        domain().max_pages = domain().nr_pages + 5;
    refuse_memory = (bits & 0x60) == 0x60;
    domain().linear_tables = (bits & 0x80) != 0;
    const u64 frames = nr_frames();
    host.emplace(GuestFrames{reinterpret_cast<std::byte*>(vm.machine.directmap), frames, frames, frames}, vm.mailbox(),
                 &domain().frames[Mfn{0}].word, vm.host_use_array(), frames, vm.boot.domain_first_mfn);
}

bool World::guest_may_write(u64 number) {
    if (number >= nr_frames())
        return false;
    const Frame frame = domain().frames[Mfn{number}];
    return frame.owner() == FrameOwner::shared ||
           (frame.owner() == FrameOwner::domain && (frame.type_count() == 0 || frame.type() == FrameType::writable));
}

void World::put(u64 number, u64 offset, const void* from, size_t bytes) {
    if (guest_may_write(number) && offset + bytes <= PAGE_SIZE)
        std::memcpy(vm.frame(Mfn{number}) + offset, from, bytes);
}

/// The vmm answers, and checks what it is asked for.
int64_t World::serve(doorbell::Request kind, u32 length) {
    const doorbell::RequestBlock& block = vm.mailbox().request;
    switch (kind) {
    case doorbell::Request::nucleus_bug:
        fail(block.crash.reason);
    case doorbell::Request::crash:
        crashed = true;
        require(block.crash.nr_calls <= CallTrace::SIZE && block.crash.walk_levels <= 4, "crash report");
        return 0;
    case doorbell::Request::release:
        require(length <= doorbell::REQUEST_FRAMES, "release of too many frames", length);
        for (u32 i = 0; i < length; i++) {
            const u64 number = block.frames[i];
            require(number >= test::FakeVm::FIRST_MFN && number < nr_frames(), "release of a strange frame", number);
            require(domain().frames[Mfn{number}].owner() == FrameOwner::free, "release of a frame in use", number);
            require(vm.host_use_array()[number] == 0, "release of a frame that the host uses", number);
            std::memset(vm.frame(Mfn{number}), 0, PAGE_SIZE);
        }
        return 0;
    case doorbell::Request::reclaim:
        require(length <= doorbell::REQUEST_FRAMES, "reclaim of too many frames", length);
        return refuse_memory ? -1 : 0;
    case doorbell::Request::console_write:
    case doorbell::Request::log:
        require(length <= doorbell::REQUEST_TEXT, "text too long", length);
        return 0;
    default:
        return 0;
    }
}

} // namespace parapet::nucleus::fuzz
