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
constexpr std::uint64_t cleared_by_gate = 0x1 << 8 | 0x1 << 9 | 0x1 << 14 | 0x1 << 16; // TF IF NT RF
constexpr std::uint32_t breakpoint_vector = 3;
constexpr std::byte int3{0xcc};
constexpr std::uint64_t entry_stack_end = area_va(0) + AREA_ENTRY_END;

bool in_nucleus(std::uint64_t va) {
    return va >= NUCLEUS_VA && va < slot_va(NUCLEUS_SLOT + 1);
}

bool has_error_code(std::uint64_t vector) {
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
    : vcpu_{vcpu}, ram_{ram}, header_{place.header},
      stub_root_mfn_{place.stub_root_mfn}, mailbox_{*place.mailbox}, out_{out} {}

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
    ring0_ = ring3_ = guest_ = entries_ = 0;
    for (std::uint64_t vector = 0; vector < 256; vector++) {
        add_breakpoint(header_.vector_stubs + vector * STUB_SIZE);
    }
    add_breakpoint(area_va(0) + AREA_SYSCALL_STUB);
    add_breakpoint(area_va(0) + AREA_SYSCALL32_STUB);
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
    for (const auto& [va, byte] : breakpoints_) {
        *at(va) = byte;
    }
    breakpoints_.clear();
    lifted_ = 0;
    std::fprintf(out_, "{\"operation\": \"%s\", \"ring0\": %lu, \"ring3\": %lu, \"guest\": %lu, \"entries\": %lu}\n",
                 operation_.c_str(), ring0_, ring3_, guest_, entries_);
    std::fflush(out_);
}

/// KVM sets the trap flag for the instruction at the current RIP only.
bool StepCounter::step_from_here() {
    kvm_guest_debug debug{};
    debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP;
    return ::ioctl(vcpu_.fd(), KVM_SET_GUEST_DEBUG, &debug) == 0;
}

bool StepCounter::on_debug_exit() {
    if (!active_) {
        return false;
    }
    kvm_run& state = vcpu_.state();
    const std::uint64_t rip = state.s.regs.regs.rip;
    if (lifted_ != 0) {
        *at(lifted_) = int3;
        lifted_ = 0;
    }
    if (state.debug.arch.exception == breakpoint_vector) {
        if (breakpoints_.contains(rip)) {
            count_previous(rip);
            enter_at_stub(rip);
        } else if (!deliver_breakpoint()) {
            return false;
        }
    } else {
        count_previous(rip);
    }
    previous_ = state.s.regs.regs.rip;
    previous_ring3_ = (state.s.regs.sregs.cs.dpl & 3) != 0;
    // The registers first: an ioctl on the vCPU would not take them.
    if (state.kvm_dirty_regs != 0) {
        kvm_sregs sregs = state.s.regs.sregs;
        kvm_regs regs = state.s.regs.regs;
        const bool set =
            ((state.kvm_dirty_regs & KVM_SYNC_X86_SREGS) == 0 || ::ioctl(vcpu_.fd(), KVM_SET_SREGS, &sregs) == 0) &&
            ::ioctl(vcpu_.fd(), KVM_SET_REGS, &regs) == 0;
        state.kvm_dirty_regs = 0;
        if (!set) {
            return false;
        }
    }
    return step_from_here();
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
    // KVM's fast path for some wrmsr forgets to stop after it.
    constexpr std::byte wrmsr[] = {std::byte{0x0f}, std::byte{0x30}};
    const std::byte* code = at(previous_);
    if (code != nullptr && std::memcmp(code, wrmsr, 2) == 0 && now != previous_ + 2) {
        counter++;
    }
}

void StepCounter::enter_at_stub(std::uint64_t stub) {
    entries_++;
    *at(stub) = breakpoints_.at(stub);
    lifted_ = stub;
    hide_trap_flag(stub);
}

/// Take the trap flag out of the frame, or of R11, that the processor has just written.
void StepCounter::hide_trap_flag(std::uint64_t stub) {
    kvm_run& state = vcpu_.state();
    if (stub < header_.vector_stubs || stub >= header_.vector_stubs + 256 * STUB_SIZE) {
        state.s.regs.regs.r11 &= ~trap_flag;
        state.kvm_dirty_regs |= KVM_SYNC_X86_REGS;
        return;
    }
    const std::uint64_t vector = (stub - header_.vector_stubs) / STUB_SIZE;
    std::byte* saved = at(state.s.regs.regs.rsp + (has_error_code(vector) ? 24 : 16));
    if (saved != nullptr) {
        std::uint64_t flags = 0;
        std::memcpy(&flags, saved, sizeof(flags));
        flags &= ~trap_flag;
        std::memcpy(saved, &flags, sizeof(flags));
    }
}

/// What the processor does at an int3 of ring 3, as the IDT has it.
bool StepCounter::deliver_breakpoint() {
    kvm_run& state = vcpu_.state();
    kvm_regs& regs = state.s.regs.regs;
    kvm_sregs& sregs = state.s.regs.sregs;
    if ((sregs.cs.dpl & 3) != 3) {
        return false;
    }
    count_previous(regs.rip + 1);
    const std::uint64_t frame[] = {regs.rip + 1, sregs.cs.selector, regs.rflags & ~trap_flag, regs.rsp,
                                   sregs.ss.selector};
    regs.rsp = entry_stack_end - sizeof(frame);
    std::byte* stack = at(regs.rsp);
    if (stack == nullptr) {
        return false;
    }
    std::memcpy(stack, frame, sizeof(frame));
    regs.rip = header_.vector_stubs + breakpoint_vector * STUB_SIZE;
    regs.rflags &= ~cleared_by_gate;
    sregs.cs.selector = NUCLEUS_CS;
    sregs.cs.dpl = 0;
    sregs.cs.l = 1;
    sregs.cs.db = 0;
    sregs.ss.selector = 0;
    sregs.ss.dpl = 0;
    state.kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    enter_at_stub(regs.rip);
    return true;
}

void StepCounter::add_breakpoint(std::uint64_t va) {
    std::byte* byte = at(va);
    if (byte != nullptr) {
        breakpoints_[va] = *byte;
        *byte = int3;
    }
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
