// SPDX-License-Identifier: Apache-2.0
#include "vmm/step_counter.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <sys/ioctl.h>

namespace parapet::vmm {

namespace {

using namespace doorbell;

constexpr std::uint64_t trap_flag = 1 << 8;
constexpr std::uint8_t entry_port = 0xe9; // nobody else's
constexpr std::uint8_t write_to_entry_port[] = {0xe6, entry_port};

bool in_nucleus(std::uint64_t va) {
    return va >= NUCLEUS_VA && va < slot_va(NUCLEUS_SLOT + 1);
}

bool has_error_code(unsigned vector) {
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 ||
           vector == 30;
}

} // namespace

std::unique_ptr<StepCounter> StepCounter::from_environment(KvmVcpu& vcpu, const GuestRam& ram,
                                                           const NucleusPlace& place) {
    const char* file = std::getenv("PARAPET_STEP");
    if (file == nullptr) {
        return nullptr;
    }
    std::FILE* out = std::fopen(file, "ae");
    if (out == nullptr) {
        std::fprintf(stderr, "parapet: PARAPET_STEP file '%s' cannot be written: %s\n", file, std::strerror(errno));
        return nullptr;
    }
    return std::unique_ptr<StepCounter>{new StepCounter{vcpu, ram, place, out}};
}

StepCounter::StepCounter(KvmVcpu& vcpu, const GuestRam& ram, const NucleusPlace& place, std::FILE* out)
    : vcpu_{vcpu}, ram_{ram}, stub_root_mfn_{place.stub_root_mfn},
      syscall_stub_{syscall_stub_va(place.header, 0)}, mailbox_{*place.mailbox}, out_{out} {}

StepCounter::~StepCounter() {
    std::fclose(out_);
}

void StepCounter::after_request() {
    if (mailbox_.request.kind != Request::console_write) {
        return;
    }
    char text[128] = {};
    std::memcpy(text, mailbox_.request.text, sizeof(text) - 1);
    std::string_view line{text};
    line = line.substr(0, line.find('\n'));
    if (line.starts_with("@begin ") && !active_) {
        begin(std::string{line.substr(7)});
    } else if (line.starts_with("@end ") && active_) {
        end();
    }
}

void StepCounter::begin(std::string operation) {
    operation_ = std::move(operation);
    ring0_ = ring3_ = guest_ = nr_entries_ = 0;
    executed_.clear();
    for (unsigned vector = 0; vector < 256; vector++) {
        watch_entry(gate_target(vector), has_error_code(vector) ? 24 : 16);
    }
    watch_entry(syscall_stub_, 0);
    watch_entry(syscall_stub_ + SYSCALL32_STUB_OFFSET, 0);
    kvm_regs regs{};
    (void)::ioctl(vcpu_.fd(), KVM_GET_REGS, &regs);
    previous_ = regs.rip;
    previous_ring3_ = false;
    vcpu_.state().kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    active_ = step_from_here();
}

void StepCounter::end() {
    active_ = false;
    kvm_guest_debug off{};
    (void)::ioctl(vcpu_.fd(), KVM_SET_GUEST_DEBUG, &off);
    vcpu_.state().kvm_valid_regs = 0;
    for (const auto& [va, entry] : entries_) {
        std::memcpy(at(va), entry.code.data(), entry.code.size());
    }
    entries_.clear();
    lifted_ = 0;
    std::fprintf(out_,
                 "{\"operation\": \"%s\", \"ring0\": %lu, \"ring3\": %lu, \"guest\": %lu, \"entries\": %lu, \"at\": {",
                 operation_.c_str(), ring0_, ring3_, guest_, nr_entries_);
    const char* separator = "";
    for (const auto& [va, times] : executed_) {
        std::fprintf(out_, "%s\"%#lx\": %lu", separator, va, times);
        separator = ", ";
    }
    std::fprintf(out_, "}}\n");
    std::fflush(out_);
}

/// KVM sets the trap flag for the instruction at the current RIP only.
bool StepCounter::step_from_here() {
    kvm_guest_debug debug{};
    debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    return ::ioctl(vcpu_.fd(), KVM_SET_GUEST_DEBUG, &debug) == 0;
}

bool StepCounter::on_exit() {
    kvm_run& state = vcpu_.state();
    const bool entered = state.exit_reason == KVM_EXIT_IO && state.io.port == entry_port;
    if (!active_ || (!entered && state.exit_reason != KVM_EXIT_DEBUG)) {
        return false;
    }
    const std::uint64_t rip = state.s.regs.regs.rip;
    if (lifted_ != 0) {
        std::memcpy(at(lifted_), write_to_entry_port, sizeof(write_to_entry_port));
        lifted_ = 0;
    }
    count_previous(rip);
    previous_ = rip;
    previous_ring3_ = (state.s.regs.sregs.cs.dpl & 3) != 0;
    return (!entered || enter_at(rip)) && step_from_here();
}

/// The instruction at previous_ was executed, and led to `now`.
void StepCounter::count_previous(std::uint64_t now) {
    if (now == previous_) {
        return; // a string instruction, between two of its rounds
    }
    if (!in_nucleus(previous_)) {
        guest_++;
        return;
    }
    std::uint64_t& counter = previous_ring3_ ? ring3_ : ring0_;
    counter++;
    executed_[previous_]++;
    // KVM's fast path for some wrmsr forgets to stop after it.
    constexpr std::byte wrmsr[] = {std::byte{0x0f}, std::byte{0x30}};
    const std::byte* code = at(previous_);
    if (code != nullptr && std::memcmp(code, wrmsr, 2) == 0 && now != previous_ + 2) {
        counter++;
    }
}

/// The guest came to an entry point, where our OUT stands: put the first instruction back and go to it.
bool StepCounter::enter_at(std::uint64_t va) {
    const auto found = entries_.find(va);
    if (found == entries_.end()) {
        return false;
    }
    nr_entries_++;
    const Entry& entry = found->second;
    std::memcpy(at(va), entry.code.data(), entry.code.size());
    lifted_ = va;
    kvm_regs regs = vcpu_.state().s.regs.regs;
    // KVM completes the OUT, which moves RIP, when the vCPU runs next: let it do so first.
    vcpu_.state().immediate_exit = 1;
    (void)::ioctl(vcpu_.fd(), KVM_RUN, 0);
    vcpu_.state().immediate_exit = 0;
    hide_trap_flag(entry, regs);
    return ::ioctl(vcpu_.fd(), KVM_SET_REGS, &regs) == 0;
}

/// Take the trap flag out of the frame, or of R11, that the processor has just written.
void StepCounter::hide_trap_flag(const Entry& entry, kvm_regs& regs) const {
    if (entry.saved_flags == 0) {
        regs.r11 &= ~trap_flag;
        return;
    }
    std::byte* saved = at(regs.rsp + entry.saved_flags);
    if (saved != nullptr) {
        std::uint64_t flags = 0;
        std::memcpy(&flags, saved, sizeof(flags));
        flags &= ~trap_flag;
        std::memcpy(saved, &flags, sizeof(flags));
    }
}

void StepCounter::watch_entry(std::uint64_t va, std::uint64_t saved_flags) {
    std::byte* code = at(va);
    if (code == nullptr || entries_.contains(va)) {
        return;
    }
    Entry& entry = entries_[va];
    entry.saved_flags = saved_flags;
    std::memcpy(entry.code.data(), code, entry.code.size());
    std::memcpy(code, write_to_entry_port, sizeof(write_to_entry_port));
}

/// Where the IDT sends a vector.
std::uint64_t StepCounter::gate_target(unsigned vector) const {
    std::uint64_t gate[2] = {};
    if (const std::byte* descriptor = at(IDT_VA + vector * sizeof(gate)); descriptor != nullptr) {
        std::memcpy(gate, descriptor, sizeof(gate));
    }
    return (gate[0] & 0xffff) | (gate[0] >> 48) << 16 | gate[1] << 32;
}

/// A byte of the nucleus in 4 KiB pages, by the page tables that every root shares.
std::byte* StepCounter::at(std::uint64_t va) const {
    constexpr std::uint64_t frame_bits = 0x000ffffffffff000;
    std::uint64_t mfn = stub_root_mfn_;
    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        const auto* table = ram_.frame_as<std::uint64_t>(mfn);
        const std::uint64_t entry = table == nullptr ? 0 : table[va >> shift & 511];
        if ((entry & pte::present) == 0 || (shift > 12 && (entry & pte::large) != 0)) {
            return nullptr;
        }
        mfn = (entry & frame_bits) / page_size;
    }
    std::byte* frame = ram_.frame(mfn);
    return frame == nullptr ? nullptr : frame + va % page_size;
}

} // namespace parapet::vmm
