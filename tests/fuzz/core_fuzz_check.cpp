// SPDX-License-Identifier: Apache-2.0
// Checks after each entry into the core; see core_fuzz_check.hpp.
#include "tests/fuzz/core_fuzz_check.hpp"

#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/checks.hpp"
#include "hypercall-emu/core/descriptor.hpp"
#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/msr.hpp"
#include "pv-abi/arch.hpp"
#include "tests/fuzz/core_fuzz_meddler.hpp"
#include "tests/unit/nucleus/memory_invariants.hpp"

#include <cstdio>

namespace parapet::nucleus::fuzz {

using test::FakeVm;

Checker::Checker(World& world) : world_{world}, tlb_{world} {
    world_.vm.machine.on_write_pte = [this](Pte* slot, Pte value) { before_store(slot, value); };
    world_.vm.machine.on_activate_root = [this](u64 cr3) { root_activated(cr3); };
}

void Checker::reset() {
    const u8* memory = world_.vm.machine.directmap;
    nucleus_memory_.assign(memory, memory + FakeVm::FIRST_MFN * PAGE_SIZE);
    tlb_.reset();
}

void Checker::before_entry() {
    lease_marks_ = lease_marks();
}

/// What the entries of grants say that the host uses: GTF_reading, GTF_writing.
std::vector<u16> Checker::lease_marks() const {
    std::vector<u16> marks;
    const Domain& domain = world_.domain();
    for (const grants::Lease& lease : world_.leases) {
        const auto reference = static_cast<u32>(lease.ref);
        const u16 flags =
            domain.grants.version == 2 ? entry_status(domain, reference) : entry_v1(domain, reference).flags;
        marks.push_back(flags & (abi::GTF_reading | abi::GTF_writing));
    }
    return marks;
}

void Checker::after_entry(bool meddled) {
    if (!meddled) { // by the mark alone the guest knows that the host still uses the page
        const std::vector<u16> marks = lease_marks();
        for (size_t i = 0; i < marks.size(); i++)
            require((lease_marks_[i] & ~marks[i]) == 0, "a grant that the host uses loses its mark", i, lease_marks_[i],
                    marks[i]);
    }
    Vcpu& vcpu = world_.vcpu();
    const ExitWork work = world_.vm.take_work(vcpu);
    check_work(vcpu, work);
    if (!world_.domain().dead && (work.flags & (ExitWork::STOP | ExitWork::BLOCK)) == 0)
        check_registers(vcpu);
    for (u32 id = 0; id < world_.domain().nr_vcpus; id++) {
        const Vcpu& each = world_.vm.vcpu(id);
        check_handlers(each);
        check_debug_registers(each);
        check_windows(each);
    }
    check_channels();
    check_nucleus_frames();
    check_memory();
    if (world_.domain().dead)
        return;
    tlb_.leave(vcpu.id, work);
    for (u32 id = 0; id < world_.domain().nr_vcpus; id++) {
        if (id != vcpu.id)
            tlb_.leave(id, world_.vm.vcpu(id).work); // it flushes before it runs, and nobody else runs until then
    }
    tlb_.check_and_fill();
}

void Checker::check_memory() {
    const std::vector<std::string> violations = test::memory_violations(world_.vm);
    for (const std::string& violation : violations)
        std::fprintf(stderr, "core_fuzz: %s\n", violation.c_str());
    require(violations.empty(), "a memory invariant is broken");
    write_leased_frames(world_, 0x67);
}

/// Between the entry's target being acquired and the slot being written, and never the other way round: what a table
/// that the processor may walk says is always backed by a reference of the right type.
void Checker::before_store(Pte* slot, Pte value) {
    const u64 table = static_cast<u64>(reinterpret_cast<u8*>(slot) - world_.vm.machine.directmap) >> PAGE_SHIFT;
    require(table < world_.nr_frames(), "a page-table entry outside memory");
    tlb_.stored(slot, value);
    const Frame frame = world_.domain().frames[Mfn{table}];
    if (frame.owner() != FrameOwner::domain || !frame.is(Frame::VALIDATED) || !value.present())
        return;
    const unsigned level = static_cast<unsigned>(frame.type()) - static_cast<unsigned>(FrameType::l1) + 1;
    const u64 index = (reinterpret_cast<u64>(slot) & (PAGE_SIZE - 1)) / sizeof(Pte);
    if (level == 4 && index >= doorbell::HOLE_FIRST_SLOT && index <= doorbell::HOLE_LAST_SLOT)
        return;
    const u64 number = value.mfn().number;
    require(number < world_.nr_frames() && world_.domain().frames.guest_may_map({number}),
            "an entry of a live table points at what is not the domain's", table, index, value.raw);
    const Frame target = world_.domain().frames[Mfn{number}];
    require(target.references() != 0, "an entry of a live table holds no reference", table, index, value.raw);
    if (level > 1)
        require(target.type() == table_type(level - 1) && target.is(Frame::VALIDATED),
                "an entry of a live table points at what is not validated", table, index, value.raw);
    else if (value.writable())
        require(target.type() == FrameType::writable && target.type_count() != 0,
                "an entry of a live table makes writable what is not", table, index, value.raw);
}

void Checker::root_activated(u64 cr3) {
    const Frame frame = world_.domain().frames[Mfn{cr3 >> PAGE_SHIFT}];
    require(frame.owner() == FrameOwner::domain && frame.type() == FrameType::l4 && frame.is(Frame::VALIDATED),
            "a root is activated that is not validated", cr3, frame.word);
    tlb_.loaded_root(world_.vcpu().id);
}

void Checker::check_work(const Vcpu& vcpu, const ExitWork& work) const {
    require(work.nr_msrs <= ExitWork::MAX_MSRS, "too many MSRs", work.nr_msrs);
    require((work.flags & ExitWork::WRITE_MSR) != 0 || work.nr_msrs == 0, "MSRs without their flag", work.nr_msrs);
    for (u32 i = 0; i < work.nr_msrs; i++) {
        const auto& [index, value] = work.msrs[i];
        const bool base = index == msr::FS_BASE || index == msr::GS_BASE || index == msr::KERNEL_GS_BASE;
        require(base || index == msr::TSC_AUX || index == msr::TSC_DEADLINE, "an MSR that is not the guest's", index);
        require(!base || is_canonical(value), "a base that is not canonical", index, value);
        require(index != msr::TSC_AUX || value >> 32 == 0, "TSC_AUX out of range", value);
    }
    if ((work.flags & ExitWork::LOAD_LDT) != 0)
        require(work.ldt_entries <= 8192, "LDT too long", work.ldt_entries);
    if ((work.flags & ExitWork::INVLPG) != 0)
        require(is_guest_va(work.invlpg_va), "INVLPG of an address that is not the guest's", work.invlpg_va);
    require(((work.flags & ExitWork::BLOCK) != 0) <= vcpu.blocked, "BLOCK without a blocked vCPU", work.flags);
}

/// What is loaded by IRET to ring 3.
void Checker::check_registers(const Vcpu& vcpu) const {
    const Regs& regs = *vcpu.regs;
    require((regs.cs & 3) == 3 && (regs.ss & 3) == 3 && regs.cs >> 16 == 0 && regs.ss >> 16 == 0,
            "selectors of another ring", regs.cs, regs.ss);
    constexpr u64 NEVER = rflags::IOPL | rflags::VM | rflags::VIF | rflags::VIP;
    require((regs.rflags & NEVER) == 0 && (regs.rflags & rflags::IF) != 0, "flags of the return", regs.rflags);
    require(!vcpu.in_multicall && !vcpu.hold_events, "a step is left half done");
}

void Checker::check_handlers(const Vcpu& vcpu) const {
    for (const TrapHandler& trap : vcpu.traps)
        require(is_guest_va(trap.address), "a handler in the hole", trap.address);
    for (const u64 address : {vcpu.syscall_entry, vcpu.page_fault.address, vcpu.event_callback.address,
                              vcpu.failsafe_callback.address, vcpu.syscall32_callback.address})
        require(is_guest_va(address), "a callback in the hole", address);
    require(vcpu.kernel_sp == 0 || (is_safe_stack(vcpu.kernel_sp) && vcpu.kernel_sp % 16 == 0),
            "a kernel stack that the entry stubs may not write", vcpu.kernel_sp);
    require(vcpu.gdt_entries <= abi::FIRST_RESERVED_GDT_ENTRY && vcpu.ldt_entries <= 8192, "descriptor table too long",
            vcpu.gdt_entries, vcpu.ldt_entries);
    require(!vcpu.online || vcpu.kernel_mode != 0 || vcpu.user_root != NO_MFN, "user mode without a root");
}

void Checker::check_debug_registers(const Vcpu& vcpu) const {
    for (unsigned i = 0; i < 4; i++) {
        const u64 first = vcpu.dr[i];
        const bool clear = first + 7 < HOLE_START || first >= HOLE_END || first + 7 < first;
        require(is_guest_va(first) && clear, "a breakpoint in the hole", i, first);
        if ((vcpu.dr[7] >> (16 + 4 * i) & 3) == 2) // I/O breakpoints need CR4.DE
            require((vcpu.dr[7] >> (2 * i) & 3) == 0, "an I/O breakpoint", vcpu.dr[7]);
    }
    constexpr u64 GENERAL_DETECT = 1 << 13;
    require(vcpu.dr[7] >> 32 == 0 && (vcpu.dr[7] & GENERAL_DETECT) == 0 && vcpu.dr[6] >> 32 == 0, "DR6 and DR7",
            vcpu.dr[6], vcpu.dr[7]);
}

/// The vCPU's slots of the nucleus's L1: descriptor tables for ring 0 only, vcpu_info where it is, nothing else.
void Checker::check_windows(const Vcpu& vcpu) {
    for (u64 offset = doorbell::AREA_GDT_WINDOW; offset < doorbell::AREA_INFO; offset += PAGE_SIZE) {
        const Pte entry = *area_slot(vcpu, offset);
        if (entry.present())
            require((entry.raw & Pte::USER) == 0 && (entry.raw & Pte::NX) != 0, "a window open to ring 3", offset,
                    entry.raw);
        if (entry.present() && entry.mfn().number == FakeVm::ZERO_MFN)
            require(!entry.writable(), "the page of zeroes is writable", offset, entry.raw);
    }
    const u64 info = area_slot(vcpu, doorbell::AREA_INFO)->mfn().number;
    require(info == (vcpu.info_mfn == NO_MFN.number ? FakeVm::SHARED_INFO_MFN : vcpu.info_mfn),
            "the window of vcpu_info", info, vcpu.info_mfn);
    const u8* page = world_.vm.frame(Mfn{info});
    require(vcpu.info >= page && vcpu.info + sizeof(abi::vcpu_info64) <= page + PAGE_SIZE, "vcpu_info leaves its page");
}

void Checker::check_channels() const {
    const Domain& domain = world_.domain();
    for (u32 port = 0; port < NR_CHANNELS; port++) {
        const Channel& channel = domain.channels[port];
        if (channel.state == ChannelState::closed)
            continue;
        require(port != 0, "port 0 is open");
        require(channel.vcpu < doorbell::MAX_VCPUS && domain.vcpus[channel.vcpu] != nullptr, "a channel's vCPU", port);
        if (channel.state == ChannelState::self) {
            require(channel.remote_port < NR_CHANNELS, "a channel's other end", port, channel.remote_port);
            const Channel& other = domain.channels[channel.remote_port];
            require(other.state == ChannelState::self && other.remote_port == port, "a channel's other end is not its",
                    port, channel.remote_port);
        } else if (channel.state == ChannelState::virq) {
            require(channel.virq < abi::NR_VIRQS && domain.virq_port[channel.vcpu][channel.virq] == port,
                    "a VIRQ's port", port, channel.virq);
        }
    }
    for (u32 vcpu = 0; vcpu < domain.nr_vcpus; vcpu++) {
        for (u32 virq = 0; virq < abi::NR_VIRQS; virq++) {
            const u32 port = domain.virq_port[vcpu][virq];
            require(port == 0 || (port < NR_CHANNELS && domain.channels[port].state == ChannelState::virq),
                    "a VIRQ is bound to a port that is none", vcpu, virq, port);
        }
    }
}

/// Nothing of the nucleus changes but what it shares with the guest and the windows.
void Checker::check_nucleus_frames() {
    const u8* memory = world_.vm.machine.directmap;
    for (u64 number = 0; number < FakeVm::FIRST_MFN; number++) {
        u8* before = nucleus_memory_.data() + number * PAGE_SIZE;
        if (world_.domain().frames[Mfn{number}].owner() == FrameOwner::shared || number == FakeVm::NUCLEUS_L1_MFN)
            continue;
        require(std::memcmp(before, memory + number * PAGE_SIZE, PAGE_SIZE) == 0, "a frame of the nucleus is changed",
                number);
    }
}

void Checker::at_end() {
    const Domain& domain = world_.domain();
    for (u64 number = 0; number < world_.nr_frames(); number++) {
        const Frame frame = domain.frames[Mfn{number}];
        if (number < FakeVm::FIRST_MFN)
            require(world_.vm.m2p()[number] == ~0ULL, "the machine-to-physical entry of the nucleus's frame", number);
        if (frame.owner() != FrameOwner::free || frame.is(Frame::FREE_HELD))
            continue;
        const u64* words = world_.words(number);
        for (unsigned i = 0; i < PAGE_SIZE / sizeof(u64); i++)
            require(words[i] == 0, "a frame that the host has back is written", number, i, words[i]);
    }
}

} // namespace parapet::nucleus::fuzz
