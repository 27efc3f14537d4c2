// SPDX-License-Identifier: Apache-2.0
// Values for the fuzzer's guest; see core_fuzz_values.hpp.
#include "tests/fuzz/core_fuzz_values.hpp"

#include "pv-abi/types.hpp"

namespace parapet::nucleus::fuzz {

using test::FakeVm;

u64 Values::play_mfn() {
    const u8 kind = record_.byte();
    if (kind < 224)
        return world_.mfn(PLAY + kind % PLAY_PAGES);
    if (kind < 240)
        return FakeVm::FIRST_MFN + NR_PAGES + kind % SPARE;
    if (kind < 248)
        return world_.mfn(USER_L4 + kind % 6);
    const Mfn root = kind < 252 ? world_.vcpu().kernel_root : world_.vcpu().user_root;
    return root == NO_MFN ? 0 : root.number;
}

u64 Values::any_mfn() {
    const u64 special[] = {
        FakeVm::SHARED_INFO_MFN,        FakeVm::STUB_ROOT_MFN,           FakeVm::ZERO_MFN,   FakeVm::NUCLEUS_L1_MFN,
        FakeVm::POOL_FIRST_MFN,         FakeVm::POOL_FIRST_MFN + 1,      world_.mfn(STORE),  world_.mfn(CONSOLE),
        world_.mfn(world_.vm.l4_pfn()), world_.mfn(world_.vm.l1_pfn(0)), world_.nr_frames(), 0};
    switch (record_.byte() % 8) {
    case 0:
        return record_.half() % (world_.nr_frames() + 8);
    case 1:
        return record_.below(FakeVm::FIRST_MFN);
    case 2:
        return record_.one_of(special);
    case 3:
        return record_.quad() >> (record_.byte() % 64);
    default:
        return play_mfn();
    }
}

u64 Values::entry_flags() {
    constexpr u64 P = Pte::PRESENT, W = Pte::RW, U = Pte::USER, A = Pte::ACCESSED, D = Pte::DIRTY;
    constexpr u64 CHOICES[] = {0,
                               P,
                               P | W,
                               P | U,
                               P | W | U,
                               P | A,
                               P | W | A | D,
                               P | W | U | A | D,
                               P | A | D,
                               Pte::NX | P | W | U | A | D,
                               P | W | U | Pte::PSE,
                               P | W | U | Pte::PCD,
                               P | U | Pte::PWT,
                               P | W | U | Pte::GLOBAL,
                               P | W | U | 1ULL << 52,
                               P | U | 1ULL << 58,
                               P | U | Pte::GUEST_KERNEL,
                               W | U};
    return record_.one_of(CHOICES);
}

u64 Values::index() {
    constexpr u64 CHOICES[] = {0, 1, 2, 3, 255, 256, 261, 271, 272, 511};
    return record_.chance(230) ? record_.one_of(CHOICES) : record_.half() % 512;
}

u64 Values::address() {
    const u64 edges[] = {HOLE_START,
                         HOLE_END,
                         doorbell::NUCLEUS_VA,
                         doorbell::DIRECTMAP_VA,
                         doorbell::GATE_VA,
                         0x7fffffffffff,
                         0xffff7fffffffffff,
                         0,
                         ~0ULL,
                         0x800000000000,
                         0x7ffffffff000,
                         FakeVm::BASE - 8,
                         FakeVm::BASE,
                         HOLE_END - 0x1000};
    switch (record_.byte() % 8) {
    case 0:
    case 1:
        return world_.va(ARGS + record_.below(ARGS_PAGES), record_.half() & 0xff8);
    case 2:
        return world_.va(record_.below(64), record_.half() & 0xfff);
    case 3:
        return world_.va(play_page(), record_.half() & 0xff8);
    case 4:
        return USER_VA + (record_.half() & 0x1fff);
    case 5: {
        const u64 edge = record_.one_of(edges);
        return edge + static_cast<u64>(static_cast<int64_t>(static_cast<int8_t>(record_.byte())));
    }
    case 6:
        return world_.va(record_.half() % NR_PAGES, record_.half() & 0xfff);
    default:
        return record_.quad();
    }
}

u64 Values::any() {
    switch (record_.byte() % 12) {
    case 0:
        return record_.byte();
    case 1:
        return address();
    case 2:
        return any_mfn();
    case 3:
        return entry();
    case 4:
        return any_mfn() << PAGE_SHIFT | index() << 3 | (record_.byte() & 3);
    case 5:
        return record_.quad();
    case 6:
        return ~0ULL << (record_.byte() % 64);
    case 7:
        return 1ULL << (record_.byte() % 64);
    case 8:
        return domid();
    case 9:
        return record_.half();
    case 10:
        return record_.word();
    default:
        return 1 + record_.below(8);
    }
}

u64 Values::domid() {
    constexpr u64 CHOICES[] = {abi::DOMID_SELF, abi::DOMID_SELF, abi::DOMID_SELF, 7, 7, 0, 5, 0x7ff1};
    return record_.one_of(CHOICES);
}

u64 Values::place(const void* from, size_t bytes) {
    if (argument_offset_ + bytes > PAGE_SIZE) {
        argument_offset_ = 0;
        argument_page_ = argument_page_ + 1 < ARGS + ARGS_PAGES ? argument_page_ + 1 : ARGS;
    }
    const u64 at = world_.va(argument_page_, argument_offset_);
    world_.put(world_.mfn(argument_page_), argument_offset_, from, bytes);
    argument_offset_ += (bytes + 7) & ~7ULL;
    return record_.chance(1) ? address() : at;
}

} // namespace parapet::nucleus::fuzz
