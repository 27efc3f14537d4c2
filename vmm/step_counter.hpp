// SPDX-License-Identifier: Apache-2.0
// Counts the nucleus's instructions by single-stepping, for tools/bench: active where the environment variable
// PARAPET_STEP names a file, which PARAPET_SANDBOX=off lets us open. The guest writes "@begin NAME" and "@end NAME"
// through HYPERVISOR_console_io (guests/bench/marker.hpp); for each pair one JSON line is appended to the file:
//   {"operation": NAME, "ring0": instructions, "ring3": the core's own at ring 3, "guest": …, "entries": into ring 0,
//    "at": {address of an instruction of the nucleus: times executed}}
//
// The trap flag follows neither SYSCALL nor an exception into ring 0. So while it steps, each entry point begins with
// an OUT that leaves the VM (not int3: QEMU's emulated SVM does not intercept it, and the core of home ring3 needs its
// own), and the trap flag is taken out of what the processor saved there: neither nucleus nor guest sees it.
#pragma once

#include "vmm/guest_ram.hpp"
#include "vmm/kvm.hpp"
#include "vmm/nucleus_loader.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

namespace parapet::vmm {

class StepCounter {
public:
    /// Null unless PARAPET_STEP is set (or its file cannot be written, which is said on stderr).
    static std::unique_ptr<StepCounter> from_environment(KvmVcpu& vcpu, const GuestRam& ram, const NucleusPlace& place);
    ~StepCounter();
    StepCounter(const StepCounter&) = delete;
    StepCounter& operator=(const StepCounter&) = delete;

    /// After each request of the nucleus: looks for a marker.
    void after_request();
    /// After each exit. False: it is none of ours.
    bool on_exit();

private:
    struct Entry {
        std::array<std::byte, 2> code; ///< its first bytes
        std::uint64_t saved_flags = 0; ///< where above RSP the processor saves the flags there, 0: in R11
    };

    StepCounter(KvmVcpu& vcpu, const GuestRam& ram, const NucleusPlace& place, std::FILE* out);

    void begin(std::string operation);
    void end();
    bool step_from_here();
    void count_previous(std::uint64_t now);
    bool enter_at(std::uint64_t va);
    void watch_entry(std::uint64_t va, std::uint64_t saved_flags);
    void hide_trap_flag(const Entry& entry, kvm_regs& regs) const;
    [[nodiscard]] std::uint64_t gate_target(unsigned vector) const;
    [[nodiscard]] std::byte* at(std::uint64_t va) const;

    KvmVcpu& vcpu_;
    const GuestRam& ram_;
    std::uint64_t stub_root_mfn_;
    std::uint64_t syscall_stub_;
    const doorbell::Mailbox& mailbox_;
    std::FILE* out_;

    bool active_ = false;
    std::string operation_;
    std::map<std::uint64_t, Entry> entries_; ///< by address
    std::uint64_t lifted_ = 0;               ///< entry point whose first instruction is there, to be stepped over
    std::uint64_t previous_ = 0;             ///< instruction that the step in progress executes
    bool previous_ring3_ = false;
    std::map<std::uint64_t, std::uint64_t> executed_; ///< instructions of the nucleus by address
    std::uint64_t ring0_ = 0, ring3_ = 0, guest_ = 0, nr_entries_ = 0;
};

} // namespace parapet::vmm
