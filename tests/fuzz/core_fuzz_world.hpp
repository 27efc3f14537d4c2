// SPDX-License-Identifier: Apache-2.0
// The virtual machine that is fuzzed: a FakeVm of two vCPUs with a kernel and a user root, pages ready to become tables
// or descriptor pages, handlers for all exceptions, and a host that uses granted frames.
#pragma once

#include "iorings/grants/host_grants.hpp"
#include "tests/fuzz/core_fuzz_input.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace parapet::nucleus::fuzz {

/// Stop with a message: an invariant does not hold.
[[noreturn]] void fail(const char* what, u64 a = 0, u64 b = 0, u64 c = 0);
inline void require(bool condition, const char* what, u64 a = 0, u64 b = 0, u64 c = 0) {
    if (!condition)
        fail(what, a, b, c);
}

// Pages of the guest, by pseudo-physical number.
inline constexpr u64 CODE = 0, HANDLERS = 3, ARGS = 4, ARGS_PAGES = 8, STACK = 12, IRET = 13, KERNEL_STACK = 14;
inline constexpr u64 STORE = 100, CONSOLE = 101;
inline constexpr u64 USER_L4 = 110, USER_L3 = 111, USER_L2 = 112, USER_L1 = 113, USER_CODE = 114, USER_DATA = 115;
/// Pages to play with. The first two are pinned L1 tables that the guest sees read-only, for trapped writes; those up
/// to PLAY_READ_ONLY are mapped read-only and empty, fit to be tables; the rest is mapped writable.
inline constexpr u64 PLAY = 128, PLAY_PAGES = 32, PLAY_READ_ONLY = 18;
inline constexpr u64 NR_PAGES = 512, SPARE = 48;
inline constexpr u64 USER_VA = 0x400000;

class World {
public:
    World();

    /// The state that every input begins with, but for what `mode` chooses.
    void reset(Record& mode);

    [[nodiscard]] u64 mfn(u64 pfn) const { return vm.mfn(pfn).number; }
    [[nodiscard]] u64 va(u64 pfn, u64 offset = 0) const { return vm.va(pfn, offset).address; }
    [[nodiscard]] u64* words(u64 number) { return reinterpret_cast<u64*>(vm.frame(Mfn{number})); }
    [[nodiscard]] u64 nr_frames() const { return vm.nr_frames(); }
    /// The vCPU that runs.
    [[nodiscard]] Vcpu& vcpu() { return *vm.machine.vcpu; }
    [[nodiscard]] Domain& domain() { return vm.domain(); }

    /// May the guest, or a device for it, write this frame as the frame table has it now?
    [[nodiscard]] bool guest_may_write(u64 number);
    /// Write as the guest does: nothing happens where it may not.
    void put(u64 number, u64 offset, const void* from, size_t bytes);

    test::FakeVm vm;
    bool crashed = false; ///< the guest was crashed with a report
    std::vector<grants::Lease> leases;
    std::optional<grants::HostGrants> host;
    bool refuse_memory = false; ///< the vmm has no memory for a reclaim

private:
    void start_user_root();
    void start_play_pages();
    void start_cpus();
    void expect_call(u64 number, u64 a0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0);
    int64_t serve(doorbell::Request kind, u32 length);

    std::unique_ptr<test::FakeVmState> start_;
};

} // namespace parapet::nucleus::fuzz
