// SPDX-License-Identifier: Apache-2.0
// A guest that tries everything with its memory, by a fixed random seed: whatever it gets, the frame table is right
// afterwards, and nothing of ours is reported broken.
#include <random>

#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/grant_table.hpp"
#include "pv-abi/memory.hpp"
#include "pv-abi/mmu.hpp"
#include "tests/unit/nucleus/guest_code.hpp"
#include "tests/unit/nucleus/memory_invariants.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 SPARE = 32;
constexpr u64 LIST_PFN = 4;
constexpr u64 MAX_CODE = 15;

class Hostile {
public:
    explicit Hostile(u64 seed) : random_{seed} {
        for (u64 i = SPARE; vm.domain().nr_free < SPARE && i-- > 0;)
            add_free_frame(vm.domain(), {FakeVm::FIRST_MFN + 512 + i});
    }

    FakeVm vm{{.spare_pages = SPARE}};
    /// How often the guest had its way.
    unsigned stored = 0, updated = 0, pinned = 0, ballooned = 0, exchanged = 0, granted = 0, used = 0, queued = 0;

    void step() {
        switch (pick(14)) {
        case 0:
        case 1:
        case 2:
            return store();
        case 3:
        case 4:
            return update();
        case 5:
            return pin();
        case 6:
            return change_reservation();
        case 7:
            return exchange();
        case 8:
            return use_by_host();
        case 9:
            return change_grants();
        case 10:
        case 11:
            return queue_events();
        default:
            return grant();
        }
    }
    /// What the host writes to is no table, no descriptor page, and stays the domain's.
    void expect_host_undisturbed() {
        for (u64 number = 0; number < vm.boot.max_mfn; number++) {
            if (vm.host_use_array()[number] != 0) {
                ASSERT_TRUE(vm.domain().frames[Mfn{number}].host_may_write()) << "frame " << number;
            }
        }
    }

private:
    u64 pick(u64 below) { return random_() % below; }

    /// Mostly pages that matter: a few plain ones, and the tables.
    u64 any_pfn() { return pick(2) == 0 ? 100 + pick(16) : vm.first_table_pfn() + pick(512 - vm.first_table_pfn()); }
    u64 any_mfn() {
        switch (pick(8)) {
        case 0:
            return pick(FakeVm::FIRST_MFN);
        case 1:
            return FakeVm::FIRST_MFN + 512 + pick(SPARE + 2);
        case 2:
            return FakeVm::SHARED_INFO_MFN;
        default:
            return vm.mfn(any_pfn()).number;
        }
    }
    Pte any_entry() {
        constexpr u64 usual = Pte::PRESENT | Pte::USER | Pte::ACCESSED;
        u64 flags = pick(4) == 0 ? 0 : usual;
        if (pick(2) == 0)
            flags |= Pte::RW;
        if (pick(16) == 0)
            flags |= 1ULL << pick(12) | (pick(2) == 0 ? Pte::NX : 1ULL << (52 + pick(11)));
        return Pte::make({any_mfn()}, flags);
    }
    u64 any_table() { return vm.first_table_pfn() + pick(512 - vm.first_table_pfn()); }
    /// Mostly entries that are not what the guest itself stands on.
    u64 any_index() {
        switch (pick(64)) {
        case 0:
            return pick(512);
        case 1:
            return 508 + pick(4);
        default:
            return 100 + pick(16);
        }
    }

    void store() {
        static const std::initializer_list<int> codes[] = {{0x48, 0x89, 0x07},
                                                           {0x48, 0x87, 0x07},
                                                           {0xf0, 0x48, 0x0f, 0xb1, 0x0f},
                                                           {0xf0, 0x48, 0x0f, 0xba, 0x37, 1},
                                                           {0x89, 0x07},
                                                           {0x88, 0x07},
                                                           {0xf3, 0x48, 0xab}};
        const u64 va = vm.va(any_table(), any_index() * sizeof(Pte)).address;
        Regs& regs = guest_at(vm, codes[pick(std::size(codes))]);
        regs.rdi = va;
        regs.rax = any_entry().raw;
        regs.rcx = any_entry().raw;
        stored += emulate_page_table_write(vm.vcpu(), {va}) ? 1 : 0;
    }
    void update() {
        const abi::mmu_update op{vm.mfn(any_table()).address() + any_index() * sizeof(Pte), any_entry().raw};
        updated += vm.call(do_mmu_update, vm.arg(op).address, 1, 0, abi::DOMID_SELF) == 0 ? 1 : 0;
    }
    void pin() {
        abi::mmuext_op64 op{};
        constexpr u32 commands[] = {abi::MMUEXT_PIN_L1_TABLE, abi::MMUEXT_PIN_L2_TABLE,     abi::MMUEXT_PIN_L3_TABLE,
                                    abi::MMUEXT_PIN_L4_TABLE, abi::MMUEXT_UNPIN_TABLE,      abi::MMUEXT_UNPIN_TABLE,
                                    abi::MMUEXT_NEW_BASEPTR,  abi::MMUEXT_NEW_USER_BASEPTR, abi::MMUEXT_CLEAR_PAGE,
                                    abi::MMUEXT_COPY_PAGE};
        op.cmd = commands[pick(std::size(commands))];
        op.arg1.mfn = any_mfn();
        op.arg2.src_mfn = any_mfn();
        pinned += vm.call(do_mmuext_op, vm.arg(op).address, 1, 0, abi::DOMID_SELF) == 0 ? 1 : 0;
    }
    /// Frames that could be given away, half of the time.
    void fill_list(u64 pfn) {
        const bool sensible = pick(2) == 0;
        u64 next = FakeVm::FIRST_MFN + pick(512);
        for (u64 i = 0; i < 8; i++) {
            while (sensible && next < FakeVm::FIRST_MFN + 512 + SPARE && !is_disposable(vm.domain(), Mfn{next}))
                next++;
            vm.at<u64>(pfn, i * sizeof(u64)) = sensible ? next++ : any_mfn();
        }
    }
    void change_reservation() {
        constexpr unsigned commands[] = {abi::XENMEM_decrease_reservation, abi::XENMEM_decrease_reservation,
                                         abi::XENMEM_populate_physmap, abi::XENMEM_increase_reservation};
        fill_list(LIST_PFN);
        const abi::xen_memory_reservation64 op{vm.va(LIST_PFN).address, pick(8), static_cast<u32>(pick(3)), 0,
                                               abi::DOMID_SELF};
        ballooned += vm.call(do_memory_op, commands[pick(std::size(commands))], vm.arg(op).address) > 0 ? 1 : 0;
    }
    void exchange() {
        fill_list(LIST_PFN);
        fill_list(LIST_PFN + 1);
        const auto in = static_cast<u32>(pick(2));
        const auto out = static_cast<u32>(pick(3));
        const u64 frames = 4;
        abi::xen_memory_exchange64 op{};
        op.in = {vm.va(LIST_PFN).address, frames >> in, in, 0, abi::DOMID_SELF};
        op.out = {vm.va(LIST_PFN + 1).address, frames >> out, out, 0, abi::DOMID_SELF};
        exchanged += vm.call(do_memory_op, abi::XENMEM_exchange, vm.arg(op).address) == 0 ? 1 : 0;
    }
    void grant() {
        auto* entries = reinterpret_cast<abi::grant_entry_v1*>(vm.frame(Mfn{vm.domain().grants.frames[0]}));
        entries[pick(4)] = {static_cast<u16>(abi::GTF_permit_access | (pick(2) == 0 ? abi::GTF_readonly : 0)), 7,
                            static_cast<u32>(any_mfn())};
        const u64 at = vm.va(any_pfn()).address;
        const auto ref = static_cast<u32>(pick(4));
        const u32 readonly = pick(2) == 0 ? abi::GNTMAP_readonly : 0;
        const abi::gnttab_map_grant_ref map{at, abi::GNTMAP_host_map | readonly, ref, 7, 0, 0, 0};
        const abi::gnttab_unmap_grant_ref unmap{at, 0, ref, 0};
        abi::gnttab_copy64 copy{};
        copy.source = {{.gmfn = any_mfn()}, abi::DOMID_SELF, 0};
        copy.dest = {{.gmfn = any_mfn()}, abi::DOMID_SELF, 0};
        copy.len = static_cast<u16>(pick(4097));
        switch (pick(3)) {
        case 0:
            (void)vm.call(do_grant_table_op, abi::GNTTABOP_map_grant_ref, vm.arg(map).address, 1);
            granted += vm.out<abi::gnttab_map_grant_ref>().status == 0 ? 1 : 0;
            break;
        case 1:
            (void)vm.call(do_grant_table_op, abi::GNTTABOP_unmap_grant_ref, vm.arg(unmap).address, 1);
            break;
        default:
            (void)vm.call(do_grant_table_op, abi::GNTTABOP_copy, vm.arg(copy).address, 1);
        }
    }

    /// The host begins or ends to write to a frame, as HostGrants does.
    void use_by_host() {
        const u64 number = any_mfn();
        if (number >= vm.boot.max_mfn)
            return;
        doorbell::HostUse& use = vm.host_use_array()[number];
        if (use != 0) {
            use--;
        } else if (vm.domain().frames[Mfn{number}].host_may_write()) {
            use++;
            used++;
        }
    }
    void change_grants() {
        auto* entries = reinterpret_cast<abi::grant_entry_v1*>(vm.frame(Mfn{vm.domain().grants.frames[0]}));
        const auto ref = static_cast<u32>(pick(4));
        const abi::gnttab_transfer64 transfer{any_mfn(), 7, ref, 0};
        const abi::gnttab_unmap_and_replace replace{vm.va(any_pfn()).address, vm.va(any_pfn()).address, ref, 0};
        switch (pick(4)) {
        case 0:
            if (pick(2) == 0)
                entries[ref] = {abi::GTF_accept_transfer, 7, 100};
            (void)vm.call(do_grant_table_op, abi::GNTTABOP_transfer, vm.arg(transfer).address, 1);
            break;
        case 1:
            (void)vm.call(do_grant_table_op, abi::GNTTABOP_set_version,
                          vm.arg(abi::gnttab_set_version{static_cast<u32>(pick(3))}).address, 1);
            break;
        case 2:
            (void)vm.call(do_grant_table_op, abi::GNTTABOP_swap_grant_ref,
                          vm.arg(abi::gnttab_swap_grant_ref{ref, static_cast<u32>(pick(4)), 0}).address, 1);
            break;
        default:
            (void)vm.call(do_grant_table_op, abi::GNTTABOP_unmap_and_replace, vm.arg(replace).address, 1);
        }
    }

    /// FIFO event channels in whatever frames; what the guest's words say changes with the pages.
    void queue_events() {
        const auto op = [this](unsigned command, const auto& argument) {
            return vm.call(do_event_channel_op, command, vm.arg(argument).address);
        };
        const auto port = static_cast<u32>(pick(8));
        switch (pick(16)) {
        case 0:
            (void)op(abi::EVTCHNOP_init_control,
                     abi::evtchn_init_control{any_mfn(), static_cast<u32>(pick(520) * 8), 0, 0, {}});
            break;
        case 1:
            queued += op(abi::EVTCHNOP_expand_array, abi::evtchn_expand_array{any_mfn()}) == 0 ? 1 : 0;
            break;
        case 2:
            if (pick(4) == 0)
                (void)op(abi::EVTCHNOP_reset, abi::evtchn_reset{abi::DOMID_SELF});
            break;
        case 3:
        case 4:
            (void)op(abi::EVTCHNOP_bind_ipi, abi::evtchn_bind_ipi{0, 0});
            break;
        case 5:
            (void)op(abi::EVTCHNOP_set_priority, abi::evtchn_set_priority{port, static_cast<u32>(pick(17))});
            break;
        case 6:
            (void)op(abi::EVTCHNOP_close, abi::evtchn_close{port});
            break;
        case 7:
            (void)op(abi::EVTCHNOP_unmask, abi::evtchn_unmask{port});
            break;
        default:
            (void)op(abi::EVTCHNOP_send, abi::evtchn_send{port});
        }
    }

    std::mt19937_64 random_;
};

TEST(HostileGuest, FrameTableStaysRight) {
    unsigned stored = 0, updated = 0, pinned = 0, ballooned = 0, exchanged = 0, granted = 0, used = 0, queued = 0;
    for (u64 seed = 1; seed <= 60; seed++) {
        Hostile guest{seed};
        expect_memory_invariants(guest.vm);
        for (unsigned i = 0; i < 500 && !guest.vm.domain().dead; i++) {
            guest.step();
            guest.expect_host_undisturbed();
            if (i % 4 == 0)
                expect_memory_invariants(guest.vm);
            ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << " step " << i;
        }
        for (const RequestRecord& record : guest.vm.machine.requests)
            ASSERT_NE(record.kind, doorbell::Request::nucleus_bug) << record.text << ", seed " << seed;
        stored += guest.stored;
        updated += guest.updated;
        pinned += guest.pinned;
        ballooned += guest.ballooned;
        exchanged += guest.exchanged;
        granted += guest.granted;
        used += guest.used;
        queued += guest.queued;
    }
    // A guest that never gets anything tests nothing.
    EXPECT_GT(stored, 500u);
    EXPECT_GT(updated, 1000u);
    EXPECT_GT(pinned, 100u);
    EXPECT_GT(ballooned, 100u);
    EXPECT_GT(exchanged, 10u);
    EXPECT_GT(granted, 100u);
    EXPECT_GT(used, 100u);
    EXPECT_GT(queued, 50u);
}

/// Any bytes as code, with registers that point at what hurts.
TEST(HostileGuest, RandomInstructions) {
    std::mt19937_64 random{99};
    unsigned emulated = 0;
    for (unsigned round = 0; round < 40; round++) {
        FakeVm vm;
        vm.vcpu().iopl = 1;
        for (unsigned i = 0; i < 500 && !vm.domain().dead; i++) {
            constexpr u8 likely[] = {0x0f, 0xf0, 0xf3, 0x48, 0x66, 0x67, 0x20, 0x22, 0x30, 0x32, 0x01, 0x89,
                                     0x87, 0xb1, 0xab, 0xba, 0x07, 0x37, 0xc7, 0x6d, 0xed, 0xcd, 0xa5, 0xa2};
            Regs& regs = guest_at(vm, {});
            for (u64 at = 0; at < MAX_CODE; at++)
                vm.at<u8>(0, at) = random() % 4 == 0 ? static_cast<u8>(random()) : likely[random() % sizeof(likely)];
            const u64 hurts[] = {vm.va(vm.l1_pfn(0), 100 * 8).address,
                                 vm.va(vm.l4_pfn()).address,
                                 ~0ULL,
                                 HOLE_START,
                                 random(),
                                 vm.va(7, PAGE_SIZE - 2).address,
                                 3,
                                 1ULL << 63};
            for (u64* reg : {&regs.rax, &regs.rcx, &regs.rdx, &regs.rbx, &regs.rsi, &regs.rdi, &regs.r8, &regs.r15})
                *reg = hurts[random() % std::size(hurts)];
            vm.vcpu().cr2 = hurts[random() % 3];
            constexpr unsigned vectors[] = {abi::TRAP_gp_fault, abi::TRAP_invalid_op, abi::TRAP_page_fault};
            const unsigned vector = vectors[random() % 3];
            (void)fault(vm, vector, vector == abi::TRAP_page_fault ? 7 : random() % 2 * (random() & 0x7fa));
            emulated += reached_handler(vm, vector) ? 0 : 1;
            vm.vcpu().blocked = false;
        }
        expect_memory_invariants(vm);
        for (const RequestRecord& record : vm.machine.requests)
            ASSERT_NE(record.kind, doorbell::Request::nucleus_bug) << record.text;
    }
    EXPECT_GT(emulated, 500u);
}

} // namespace
} // namespace parapet::nucleus::test
