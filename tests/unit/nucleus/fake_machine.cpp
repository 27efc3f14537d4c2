// SPDX-License-Identifier: Apache-2.0
// The hosted home of the core; see fake_machine.hpp.
#include "tests/unit/nucleus/fake_machine.hpp"

#include <algorithm>
#include <stdexcept>

#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/start.hpp"

namespace parapet::nucleus {

namespace {

test::FakeMachine& fake(Machine& machine) {
    return static_cast<test::FakeMachine&>(machine);
}

thread_local test::FakeMachine* watched; ///< whose reads are watched, and how much of its memory
thread_local size_t watched_bytes;

} // namespace

void Machine::write_pte(Pte* slot, Pte value) {
    test::FakeMachine& self = fake(*this);
    if (self.on_write_pte)
        self.on_write_pte(slot, value);
    self.record_write(slot, value);
    __atomic_store_n(&slot->raw, value.raw, __ATOMIC_RELEASE);
}

bool Machine::replace_pte(Pte* slot, Pte expected, Pte value) {
    if (fake(*this).on_replace_pte)
        fake(*this).on_replace_pte(slot);
    if (__atomic_load_n(&slot->raw, __ATOMIC_RELAXED) != expected.raw)
        return false;
    write_pte(slot, value);
    return true;
}

void Machine::activate_root(u64 cr3) {
    test::FakeMachine& self = fake(*this);
    if (self.on_activate_root)
        self.on_activate_root(cr3);
    if (self.recording)
        self.roots.push_back(cr3);
}

u64 Machine::read_tsc() {
    test::FakeMachine& self = fake(*this);
    self.tsc += self.tsc_step;
    return self.tsc;
}

void Machine::data_selectors(u16 (&selectors)[4]) {
    for (u16& selector : selectors) {
        selector = 0x2b;
    }
}

u64 Machine::read_msr(u32 index) {
    return fake(*this).msrs[index];
}

bool Machine::fill_vector_register(unsigned number, unsigned bytes) {
    if (fake(*this).recording)
        fake(*this).vector_fills.push_back({number, bytes});
    return true;
}

int64_t Machine::request(doorbell::Request kind, u32 length) {
    test::FakeMachine& self = fake(*this);
    doorbell::RequestBlock& block = mailbox->request;
    block.kind = kind;
    block.length = length;
    if (self.on_request) {
        block.result = self.on_request(kind, length);
        return block.result;
    }
    test::RequestRecord record{.kind = kind, .length = length, .argument = block.argument[0], .text = {}, .frames = {}};
    if (kind == doorbell::Request::log || kind == doorbell::Request::console_write)
        record.text.assign(block.text, min_of<size_t>(length, sizeof(block.text)));
    if (kind == doorbell::Request::release || kind == doorbell::Request::reclaim)
        record.frames.assign(block.frames, block.frames + min_of(length, doorbell::REQUEST_FRAMES));
    if (kind == doorbell::Request::crash || kind == doorbell::Request::nucleus_bug)
        record.text = block.crash.reason;
    self.requests.push_back(std::move(record));
    const auto result = self.results.find(kind);
    block.result = result == self.results.end() ? 0 : result->second;
    return block.result;
}

void Machine::wake(u32 id) {
    if (fake(*this).recording)
        fake(*this).wakes.push_back(id);
}

} // namespace parapet::nucleus

namespace parapet::nucleus::test {

/// For whoever reads VM memory (the linker's wrapper below, and the loads that tests/fuzz traces).
void note_read(const void* at, size_t bytes) {
    FakeMachine* machine = watched;
    if (machine == nullptr || !machine->on_read)
        return;
    auto* from = static_cast<u8*>(const_cast<void*>(at));
    if (from >= machine->directmap && from < machine->directmap + watched_bytes)
        machine->on_read(from, bytes);
}

FakeMachine::~FakeMachine() {
    if (watched == this)
        watched = nullptr;
}

void FakeMachine::watch_reads(size_t bytes) {
    watched = this;
    watched_bytes = bytes;
}

namespace {

__extension__ using u128 = unsigned __int128;

constexpr u64 TABLE_FLAGS = Pte::PRESENT | Pte::RW | Pte::USER | Pte::ACCESSED | Pte::DIRTY;

} // namespace

void FakeMachine::record_write(Pte* slot, Pte value) {
    if (!recording)
        return;
    const u64 offset = static_cast<u64>(reinterpret_cast<u8*>(slot) - directmap);
    pte_writes.push_back({.table = {offset >> PAGE_SHIFT},
                          .index = static_cast<unsigned>(offset % PAGE_SIZE / sizeof(Pte)),
                          .old = *slot,
                          .value = value});
}

FakeVm::FakeVm(const FakeVmOptions& options)
    : options_{options}, max_mfn_{FIRST_MFN + options.nr_pages + options.spare_pages},
      storage_((max_mfn_ + 1) * PAGE_SIZE), frames_(max_mfn_), host_use_(max_mfn_),
      m2p_(max_mfn_, ~0ULL), channels_{static_cast<Channel*>(std::calloc(NR_CHANNELS, sizeof(Channel)))},
      mailbox_{std::make_unique<doorbell::Mailbox>()}, domain_{std::make_unique<Domain>()} {
    memory_ = reinterpret_cast<u8*>((reinterpret_cast<uintptr_t>(storage_.data()) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1));
    machine.directmap = memory_;
    machine.mailbox = mailbox_.get();
    machine.tsc = options.boot_tsc;

    boot.magic = doorbell::BOOT_MAGIC;
    boot.size = sizeof(boot);
    boot.max_mfn = max_mfn_;
    boot.low_end_mfn = boot.high_start_mfn = max_mfn_;
    boot.m2p_va = doorbell::slot_va(doorbell::M2P_SLOT_ABI);
    boot.domain_first_mfn = FIRST_MFN;
    boot.stub_root_mfn = STUB_ROOT_MFN;
    boot.zero_mfn = ZERO_MFN;
    domain_->area_tables = reinterpret_cast<Pte*>(memory_ + NUCLEUS_L1_MFN * PAGE_SIZE);
    boot.pool_first_mfn = POOL_FIRST_MFN;
    boot.pool_end_mfn = POOL_END_MFN;
    boot.tsc_khz = options.tsc_khz;
    boot.boot_tsc = options.boot_tsc;
    boot.wall_clock_ns = options.wall_clock_ns;
    boot.nr_vcpus = 1;
    boot.has_nx = 1;
    boot.hypercall_instruction_length = 2;
    for (unsigned i = 0; i < sizeof(boot.uuid); i++)
        boot.uuid[i] = static_cast<u8>(i + 1);
    boot.domain.nr_pages = options.nr_pages;
    boot.domain.max_pages = options.nr_pages + options.spare_pages;
    boot.domain.shared_info_mfn = SHARED_INFO_MFN;
    boot.domain.root_mfn = mfn(l4_pfn()).number;
    boot.domain.rip = va(0).address;
    boot.domain.rsp = va(0, PAGE_SIZE).address;
    boot.domain.store_port = options.store_port;
    boot.domain.console_port = options.console_port;
    boot.domain.domid = 7;
    boot.domain.store_mfn = options.store_pfn == 0 ? 0 : mfn(options.store_pfn).number;
    boot.domain.console_mfn = options.console_pfn == 0 ? 0 : mfn(options.console_pfn).number;

    for (u64 pfn = 0; pfn < options.nr_pages; pfn++)
        m2p_[mfn(pfn).number] = pfn;
    domain_->machine = &machine;
    domain_->frames = FrameTable{frames_.data(), max_mfn_};
    domain_->host_use = host_use_.data();
    domain_->m2p = m2p_.data();
    domain_->channels = channels_.get();
    for (u64 i = 0; i < 16; i++) // recognisable, never walked
        domain_->hole_template[i] = Pte::make({STUB_ROOT_MFN}, Pte::PRESENT | i << 9).raw;
    vcpus_.push_back(std::make_unique<Vcpu>());
    regs_.push_back(std::make_unique<Regs>());
    vcpus_[0]->regs = regs_[0].get();
    machine.vcpu = vcpus_[0].get();

    build_tables();
    if (!start_domain(*domain_, *vcpus_[0], boot))
        throw std::runtime_error("FakeVm: the core refuses the initial domain");
    machine.pte_writes.clear();
    machine.roots.clear();
    (void)take_work();
}

/// Some other order of the same frames, so that no test passes by taking one number for the other.
Mfn FakeVm::mfn(u64 pfn) const {
    return {FIRST_MFN + (pfn ^ 0x1b5) % options_.nr_pages};
}

void FakeVm::build_tables() {
    at<Pte>(l4_pfn(), table_index(BASE, 4) * sizeof(Pte)) = Pte::make(mfn(l3_pfn()), TABLE_FLAGS);
    at<Pte>(l3_pfn(), table_index(BASE, 3) * sizeof(Pte)) = Pte::make(mfn(l2_pfn()), TABLE_FLAGS);
    for (u64 pfn = 0; pfn < options_.nr_pages; pfn++) {
        if (pfn % 512 == 0)
            at<Pte>(l2_pfn(), table_index(va(pfn).address, 2) * sizeof(Pte)) = Pte::make(mfn(l1_pfn(pfn)), TABLE_FLAGS);
        const u64 writable = pfn < first_table_pfn() ? Pte::RW | Pte::DIRTY : 0;
        at<Pte>(l1_pfn(pfn), pfn % 512 * sizeof(Pte)) =
            Pte::make(mfn(pfn), Pte::PRESENT | Pte::USER | Pte::ACCESSED | writable);
    }
}

void FakeVm::set_mapping_flags(u64 pfn, u64 flags) {
    at<Pte>(l1_pfn(pfn), pfn % 512 * sizeof(Pte)) = Pte::make(mfn(pfn), flags);
}

Status FakeVm::call(Handler handler, u64 a0, u64 a1, u64 a2, u64 a3) {
    return call_on(vcpu(), handler, a0, a1, a2, a3);
}

Status FakeVm::call_on(Vcpu& on, Handler handler, u64 a0, u64 a1, u64 a2, u64 a3) {
    machine.vcpu = &on;
    const Status status = handler(on, {{a0, a1, a2, a3, 0, 0}});
    machine.vcpu = &vcpu();
    return status;
}

Status FakeVm::hypercall(u64 number, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4) {
    Regs& regs = *vcpu().regs;
    regs.rax = number;
    regs.rdi = a0;
    regs.rsi = a1;
    regs.rdx = a2;
    regs.r10 = a3;
    regs.r8 = a4;
    do {
        regs.rip += boot.hypercall_instruction_length;
        regs.vector = vector::SYSCALL;
        handle_entry(vcpu());
    } while (vcpu().preempted && (vcpu().work.flags & ExitWork::BLOCK) == 0);
    return static_cast<Status>(regs.rax);
}

ExitWork FakeVm::enter(u64 vector, u32 irq_bits) {
    vcpu().irq_bits |= irq_bits;
    vcpu().regs->vector = vector;
    handle_entry(vcpu());
    return take_work();
}

ExitWork FakeVm::take_work(Vcpu& of) {
    const ExitWork work = of.work;
    of.work.flags = 0;
    of.work.nr_msrs = 0;
    return work;
}

std::optional<u64> FakeVm::queued_msr(const ExitWork& work, u32 index) {
    if ((work.flags & ExitWork::WRITE_MSR) == 0)
        return std::nullopt;
    for (u32 i = 0; i < work.nr_msrs; i++)
        if (work.msrs[i].index == index)
            return work.msrs[i].value;
    return std::nullopt;
}

void FakeVm::advance_ns(u64 ns) {
    machine.tsc += static_cast<u64>((static_cast<u128>(ns) * options_.tsc_khz + 999'999) / 1'000'000);
}

void FakeVm::set_time_ns(u64 ns) {
    machine.tsc = options_.boot_tsc;
    advance_ns(ns > Clock::START_NS ? ns - Clock::START_NS : 0);
}

Vcpu& FakeVm::add_vcpu() {
    const u32 id = domain_->nr_vcpus++;
    vcpus_.push_back(std::make_unique<Vcpu>());
    regs_.push_back(std::make_unique<Regs>());
    Vcpu& added = *vcpus_.back();
    added.regs = regs_.back().get();
    added.domain = domain_.get();
    added.id = id;
    added.info = reinterpret_cast<u8*>(&domain_->shared->vcpu_info[id]);
    added.info_mfn = ~0ULL;
    added.kernel_root = added.user_root = NO_MFN;
    domain_->vcpus[id] = &added;
    init_vcpu_time(added);
    return added;
}

std::unique_ptr<FakeVmState> FakeVm::save() const {
    auto state = std::make_unique<FakeVmState>();
    state->memory.assign(memory_, memory_ + max_mfn_ * PAGE_SIZE);
    state->frames = frames_;
    state->host_use = host_use_;
    state->m2p = m2p_;
    state->channels.assign(&channels_[0], &channels_[domain_->ports_end]);
    state->mailbox = *mailbox_;
    state->domain = *domain_;
    for (size_t id = 0; id < vcpus_.size(); id++) {
        state->vcpus.push_back(*vcpus_[id]);
        state->regs.push_back(*regs_[id]);
    }
    state->tsc = machine.tsc;
    state->msrs = machine.msrs;
    return state;
}

void FakeVm::restore(const FakeVmState& state) {
    std::copy(state.memory.begin(), state.memory.end(), memory_);
    // In place: the core holds pointers into these.
    std::copy(state.frames.begin(), state.frames.end(), frames_.begin());
    std::copy(state.host_use.begin(), state.host_use.end(), host_use_.begin());
    std::copy(state.m2p.begin(), state.m2p.end(), m2p_.begin());
    const u64 saved = state.channels.size();
    std::copy(state.channels.begin(), state.channels.end(), &channels_[0]);
    if (domain_->ports_end > saved)
        std::fill(&channels_[saved], &channels_[domain_->ports_end], Channel{});
    *mailbox_ = state.mailbox;
    *domain_ = state.domain;
    for (size_t id = 0; id < vcpus_.size(); id++) {
        *vcpus_[id] = state.vcpus[id];
        *regs_[id] = state.regs[id];
    }
    machine.tsc = state.tsc;
    machine.msrs = state.msrs;
    machine.vcpu = vcpus_[0].get();
}

} // namespace parapet::nucleus::test

// The linker hands the core's calls of copy_bytes() over (--wrap, CMakeLists.txt): copies out of VM memory are seen.
extern "C" {
void __real__ZN7parapet7nucleus10copy_bytesEPvPKvm(void* destination, const void* source, size_t bytes);
void __wrap__ZN7parapet7nucleus10copy_bytesEPvPKvm(void* destination, const void* source, size_t bytes);

void __wrap__ZN7parapet7nucleus10copy_bytesEPvPKvm(void* destination, const void* source, size_t bytes) {
    parapet::nucleus::test::note_read(source, bytes);
    __real__ZN7parapet7nucleus10copy_bytesEPvPKvm(destination, source, bytes);
}
}
