// SPDX-License-Identifier: Apache-2.0
// The fuzzer's executor; see core_fuzz_run.hpp.
#include "tests/fuzz/core_fuzz_run.hpp"

#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/grant_table.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/trap.hpp"

namespace parapet::nucleus::fuzz {

namespace {

/// Reads of guest memory in one entry: the core's work is bounded, whatever the guest asks for.
constexpr u64 MAX_READS = 50'000;

/// What the processor pushes when it comes from ring 3.
void come_from_ring3(Regs& regs) {
    regs.cs = (regs.cs & 0xffff) | 3;
    regs.ss = (regs.ss & 0xffff) | 3;
    regs.rflags &= ~(rflags::IOPL | rflags::VM | rflags::VIF | rflags::VIP);
    regs.rflags |= rflags::IF | rflags::FIXED;
}

void load(Regs& regs, const Call& call) {
    regs.rax = call.number;
    regs.rdi = call.a[0];
    regs.rsi = call.a[1];
    regs.rdx = call.a[2];
    regs.r10 = call.a[3];
    regs.r8 = call.a[4];
    regs.r9 = call.a[5];
}

} // namespace

Runner::Runner() {
    world_.vm.machine.on_read = [this](u8* at, size_t bytes) { meddler_.before_read(at, bytes); };
    world_.vm.machine.on_replace_pte = [this](Pte* slot) { meddler_.before_replace(slot); };
    world_.vm.machine.watch_reads(world_.nr_frames() * PAGE_SIZE);
}

void Runner::run(const u8* data, size_t size) {
    constexpr size_t MAX_STEPS = 300;
    Record mode{data, size};
    world_.reset(mode);
    checker_.reset();
    for (size_t at = RECORD_BYTES, steps = 0; at < size && steps < MAX_STEPS && !world_.domain().dead; steps++) {
        Record record{data + at, size - at};
        step(record);
        at += RECORD_BYTES;
    }
    checker_.at_end();
    while (!world_.leases.empty())
        end_grant(world_, 0);
}

void Runner::enter(u64 vector) {
    Vcpu& vcpu = world_.vcpu();
    vcpu.regs->vector = vector;
    checker_.before_entry();
    meddler_.begin();
    handle_entry(vcpu);
    meddler_.end();
    require(meddler_.reads() < MAX_READS, "one entry reads without end", vector, vcpu.regs->rax, meddler_.reads());
    checker_.after_entry(meddler_.acted());
}

void Runner::step(Record& record) {
    const u8 kind = record.byte();
    meddler_.plan(record);
    if (kind < 140)
        hypercall(record);
    else if (kind < 158)
        reissue(record);
    else if (kind < 196)
        exception(record);
    else if (kind < 214)
        guest_write(record);
    else if (kind < 222)
        grant_write(record);
    else if (kind < 230)
        host_step(record);
    else if (kind < 238)
        iret(record);
    else if (kind < 244)
        interrupt(record);
    else if (kind < 248)
        other_vcpu(record);
    else {
        constexpr u64 VECTORS[] = {vector::FAILSAFE, vector::SYSCALL, vector::SYSCALL32, vector::START, vector::WAKE};
        come_from_ring3(*world_.vcpu().regs);
        enter(record.one_of(VECTORS));
    }
    wake_up();
}

/// A blocked vCPU waits for its timer; then it is kicked.
void Runner::wake_up() {
    Vcpu& vcpu = world_.vcpu();
    for (unsigned i = 0; i < 3 && vcpu.blocked && !world_.domain().dead; i++) {
        if (!vcpu.online) { // for ever: another one runs on
            world_.vm.machine.vcpu = &world_.vm.vcpu(vcpu.id == 0 ? 1 : 0);
            return;
        }
        world_.vm.machine.tsc += 26'000'000;
        vcpu.irq_bits |= Vcpu::IRQ_TIMER;
        if (i == 2)
            vcpu.kicked = true;
        enter(vector::WAKE);
    }
}

void Runner::hypercall(Record& record) {
    Vcpu& vcpu = world_.vcpu();
    Regs& regs = *vcpu.regs;
    come_from_ring3(regs);
    if (!vcpu.kernel_mode) { // a system call or a page fault of the program
        vcpu.cr2 = USER_VA;
        regs.error = abi::PFEC_user_mode;
        enter(record.chance(128) ? vector::SYSCALL : u64{abi::TRAP_page_fault});
        return;
    }
    Values values{world_, record};
    const Call call = any_call(world_, values, record);
    load(regs, call);
    regs.rip = world_.va(CODE, 0x102);
    regs.rsp = call.number == abi::HYPERVISOR_iret ? world_.va(IRET) : world_.va(STACK, PAGE_SIZE);
    const Regs before = regs;
    enter(vector::SYSCALL);
    // The result is all that an ordinary call changes.
    const bool returned = regs.rip == before.rip && vcpu.kernel_mode != 0 && !world_.domain().dead &&
                          call.number != abi::HYPERVISOR_iret && !vcpu.blocked;
    if (!returned)
        return;
    require(regs.rbx == before.rbx && regs.rbp == before.rbp && regs.r12 == before.r12 && regs.r13 == before.r13 &&
                regs.r14 == before.r14 && regs.r15 == before.r15 && regs.rsp == before.rsp && regs.rdi == before.rdi &&
                regs.rsi == before.rsi && regs.rdx == before.rdx && regs.r10 == before.r10 && regs.r8 == before.r8 &&
                regs.r9 == before.r9 && regs.rcx == before.rcx,
            "a hypercall changes the guest's registers", call.number, call.a[0]);
}

/// The guest issues again what was to be continued, perhaps with arguments of its own making.
void Runner::reissue(Record& record) {
    Vcpu& vcpu = world_.vcpu();
    if (!vcpu.kernel_mode)
        return;
    Regs& regs = *vcpu.regs;
    come_from_ring3(regs);
    Values values{world_, record};
    u64* const arguments[] = {&regs.rdi, &regs.rsi, &regs.rdx, &regs.r10};
    const unsigned times = record.chance(60) ? 1 : 1 + record.byte() % 8;
    if (record.chance(80))
        *record.one_of(arguments) = values.any();
    for (unsigned i = 0; i < times && !world_.domain().dead && vcpu.kernel_mode && !vcpu.blocked; i++) {
        regs.rip = world_.va(CODE, 0x102);
        regs.rsp = world_.va(STACK, PAGE_SIZE);
        enter(vector::SYSCALL);
        if (!vcpu.preempted)
            return;
    }
}

void Runner::exception(Record& record) {
    Vcpu& vcpu = world_.vcpu();
    come_from_ring3(*vcpu.regs);
    Values values{world_, record};
    const u64 vector = prepare_instruction(world_, values, record);
    if (vector == abi::TRAP_double_fault) // the nucleus's own, and a bug
        return;
    enter(vector);
}

void Runner::iret(Record& record) {
    Vcpu& vcpu = world_.vcpu();
    if (!vcpu.kernel_mode)
        return;
    Values values{world_, record};
    const bool user = record.chance(128);
    abi::iret_context frame{};
    frame.rax = record.byte();
    frame.r11 = record.byte();
    frame.rcx = record.byte();
    frame.flags = record.chance(128) ? u64{abi::VGCF_in_syscall} : 0;
    frame.rip = user ? USER_VA + record.byte() : record.chance(230) ? world_.va(CODE, record.byte()) : values.address();
    frame.cs = record.chance(200) ? (user ? 0xe033 : 0xe030) : record.quad();
    frame.rflags = record.chance(200) ? 0x202 : record.quad();
    frame.rsp = user ? USER_VA + 2 * PAGE_SIZE : world_.va(STACK, PAGE_SIZE);
    frame.ss = record.chance(220) ? 0xe02b : record.half();
    world_.put(world_.mfn(IRET), 0, &frame, sizeof frame);
    come_from_ring3(*vcpu.regs);
    vcpu.regs->rsp = record.chance(245) ? world_.va(IRET) : values.address();
    vcpu.regs->rax = abi::HYPERVISOR_iret;
    enter(vector::SYSCALL);
}

/// The guest writes what will be a table, a descriptor page or an argument.
void Runner::guest_write(Record& record) {
    Values values{world_, record};
    const u64 number = record.chance(200) ? values.play_mfn() : values.any_mfn();
    if (!world_.guest_may_write(number))
        return;
    u64* words = world_.words(number);
    if (record.chance(128))
        std::memset(words, 0, PAGE_SIZE);
    for (u64 left = record.below(6); left-- > 0;) {
        const u8 kind = record.byte();
        u64 value = 0;
        if (kind < 140)
            value = values.play_mfn() << PAGE_SHIFT | values.entry_flags();
        else if (kind < 180)
            value = 0x00cff3000000ffff;
        else
            value = kind < 220 ? values.entry() : record.quad();
        words[values.index()] = value;
    }
}

/// The guest fills a grant entry, for itself or for the host.
void Runner::grant_write(Record& record) {
    constexpr u16 FLAGS[] = {abi::GTF_permit_access,
                             abi::GTF_permit_access,
                             abi::GTF_permit_access | abi::GTF_readonly,
                             abi::GTF_accept_transfer,
                             abi::GTF_transitive,
                             abi::GTF_permit_access | abi::GTF_sub_page,
                             abi::GTF_permit_access | abi::GTF_reading,
                             abi::GTF_permit_access | abi::GTF_reading | abi::GTF_writing,
                             abi::GTF_invalid};
    Values values{world_, record};
    const GrantTable& table = world_.domain().grants;
    const u64 number = table.frames[record.chance(230) ? 0 : record.below(table.nr_frames)];
    const u16 flags = record.one_of(FLAGS);
    const auto peer = static_cast<u16>(record.chance(110) ? 7 : record.chance(200) ? 0 : record.below(3));
    const u64 frame = values.any_mfn();
    if (table.version == 2) {
        abi::grant_entry_v2 entry{};
        entry.full_page = {{flags, peer}, record.chance(128) ? 0 : record.word(), frame};
        world_.put(number, record.below(16) * sizeof entry, &entry, sizeof entry);
    } else {
        const abi::grant_entry_v1 entry{flags, peer, static_cast<u32>(frame)};
        world_.put(number, record.below(16) * sizeof entry, &entry, sizeof entry);
    }
}

void Runner::host_step(Record& record) {
    const u8 kind = record.byte();
    if (kind < 140) {
        const u32 reference = static_cast<u32>(record.below(18));
        take_grant(world_, reference, record.chance(160));
    } else if (kind < 230) {
        end_grant(world_, record.byte());
    }
    write_leased_frames(world_, record.byte());
}

void Runner::interrupt(Record& record) {
    Vcpu& vcpu = world_.vcpu();
    come_from_ring3(*vcpu.regs);
    world_.vm.machine.tsc += static_cast<u64>(record.word()) << (record.byte() & 15);
    vcpu.irq_bits |= record.byte() & 7;
    doorbell::PortBitmap& bitmap = world_.vm.mailbox().to_nucleus;
    const u64 word = record.chance(220) ? 0 : record.below(64);
    bitmap.word[word] |= record.quad();
    bitmap.selector |= 1ULL << word;
    enter(record.chance(200) ? doorbell::MAILBOX_VECTOR : record.byte() | 32u);
}

/// The other vCPU runs on from here, if it is up; this one stays where it is.
void Runner::other_vcpu(Record& record) {
    if (world_.domain().nr_vcpus < 2)
        return;
    Vcpu& other = world_.vm.vcpu(world_.vcpu().id == 0 ? 1 : 0);
    if (!other.online || other.kernel_root == NO_MFN)
        return;
    world_.vm.machine.vcpu = &other;
    if (other.id != 0 && !other.started) {
        enter(vector::START);
        return;
    }
    if (other.blocked)
        return; // wake_up() is next
    come_from_ring3(*other.regs);
    enter(record.chance(128) ? vector::RETURNED : doorbell::MAILBOX_VECTOR);
}

} // namespace parapet::nucleus::fuzz
