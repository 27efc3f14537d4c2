// SPDX-License-Identifier: Apache-2.0
// A virtual machine in an array, for tests of the nucleus core: memory, frame table, mailbox, one domain.
//
// The domain starts as the builder leaves it: its pages mapped at BASE, page n of the region being pseudo-physical
// frame n, whose machine frame is another number (mfn()). What the core asks of its home is recorded.
#pragma once

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hypercall-emu/core/domain.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/machine.hpp"

namespace parapet::nucleus::test {

struct PteWrite {
    Mfn table;
    unsigned index;
    Pte old, value;
};

struct RequestRecord {
    doorbell::Request kind;
    u32 length;
    u64 argument;
    std::string text; ///< for log and console_write
    std::vector<u64> frames;
};

/// The home: implements Machine's methods (fake_machine.cpp) and records the calls.
class FakeMachine : public Machine {
public:
    u64 tsc = 0;
    u64 tsc_step = 0; ///< added at every read
    std::map<u32, u64> msrs;
    std::map<doorbell::Request, int64_t> results; ///< answers of the vmm; 0 where missing
    std::vector<PteWrite> pte_writes;
    std::vector<RequestRecord> requests;
    std::vector<u32> wakes;
    std::vector<u64> roots; ///< activate_root
    struct VectorFill {
        unsigned number, bytes;
        bool operator==(const VectorFill&) const = default;
    };
    std::vector<VectorFill> vector_fills;
    bool recording = true; ///< pte_writes, requests, wakes, roots and vector_fills are filled

    // What a test does in the middle of the core's work. All may be empty.
    /// Before bytes of VM memory are copied or, where the build traces loads (tests/fuzz), read: somebody else may
    /// write there. One FakeMachine of a thread can have it: see watch_reads().
    std::function<void(u8* at, size_t bytes)> on_read;
    /// Before a page-table entry is stored. The slot still holds the old value.
    std::function<void(Pte* slot, Pte value)> on_write_pte;
    /// Before replace_pte() compares: the processor may set accessed and dirty now.
    std::function<void(Pte* slot)> on_replace_pte;
    std::function<void(u64 cr3)> on_activate_root;
    /// The vmm's part of a request; the result is the answer.
    std::function<int64_t(doorbell::Request kind, u32 length)> on_request;

    ~FakeMachine();
    /// Have on_read called from now on, for `bytes` of VM memory from the direct map's start.
    void watch_reads(size_t bytes);
    void record_write(Pte* slot, Pte value);
};

struct FakeVmOptions {
    u64 nr_pages = 512;   ///< of the domain; a power of two from 512 on
    u64 spare_pages = 64; ///< RAM beyond the reservation
    u64 tsc_khz = 2'600'000;
    u64 boot_tsc = 1'000'000;
    u64 wall_clock_ns = 1'763'632'800'123'456'789;
    u32 store_port = 1, console_port = 2;
    u64 store_pfn = 0, console_pfn = 0; ///< pages of the rings, 0: none
};

/// A copy of all that the core, the guest and the vmm can change in a FakeVm.
struct FakeVmState {
    std::vector<u8> memory;
    std::vector<Frame> frames;
    std::vector<doorbell::HostUse> host_use;
    std::vector<u64> m2p;
    std::vector<Channel> channels; ///< those that exist
    doorbell::Mailbox mailbox;
    Domain domain;
    std::vector<Vcpu> vcpus;
    std::vector<Regs> regs;
    u64 tsc;
    std::map<u32, u64> msrs;
};

class FakeVm {
public:
    static constexpr u64 BASE = 0xffffffff80000000;
    static constexpr u64 FIRST_MFN = 256; ///< of the domain; below: the nucleus's frames
    static constexpr u64 SHARED_INFO_MFN = 16, STUB_ROOT_MFN = 17, ZERO_MFN = 18, NUCLEUS_L1_MFN = 20;
    static constexpr u64 POOL_FIRST_MFN = 32, POOL_END_MFN = 160;

    explicit FakeVm(const FakeVmOptions& options = {});
    FakeVm(const FakeVm&) = delete;
    FakeVm& operator=(const FakeVm&) = delete;

    /// Address and machine frame of the domain's page `pfn`.
    [[nodiscard]] GuestVa va(u64 pfn, u64 offset = 0) const { return {BASE + pfn * PAGE_SIZE + offset}; }
    [[nodiscard]] Mfn mfn(u64 pfn) const;
    /// pfn of the page tables: read-only for the guest, at the end of the reservation.
    [[nodiscard]] u64 l4_pfn() const { return options_.nr_pages - 1; }
    [[nodiscard]] u64 l3_pfn() const { return options_.nr_pages - 2; }
    [[nodiscard]] u64 l2_pfn() const { return options_.nr_pages - 3; }
    [[nodiscard]] u64 l1_pfn(u64 pfn) const { return options_.nr_pages - 3 - options_.nr_pages / 512 + pfn / 512; }
    [[nodiscard]] u64 first_table_pfn() const { return l1_pfn(0); }
    /// Host pointers, past all checks.
    [[nodiscard]] u8* frame(Mfn mfn) { return memory_ + mfn.address(); }
    template <typename T>
    [[nodiscard]] T& at(u64 pfn, u64 offset = 0) {
        return *reinterpret_cast<T*>(frame(mfn(pfn)) + offset);
    }
    /// Put a hypercall's argument into the guest's page 1 (page 2, ...).
    template <typename T>
    GuestVa arg(const T& object, u64 pfn = 1, u64 offset = 0) {
        copy_bytes(frame(mfn(pfn)) + offset, &object, sizeof(object));
        return va(pfn, offset);
    }
    template <typename T>
    [[nodiscard]] T out(u64 pfn = 1, u64 offset = 0) {
        T object;
        copy_bytes(&object, frame(mfn(pfn)) + offset, sizeof(object));
        return object;
    }
    /// Change the mapping of `pfn`'s address behind the core's back (present, RW).
    void set_mapping_flags(u64 pfn, u64 flags);

    /// Run one hypercall handler on vCPU 0.
    Status call(Handler handler, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0);
    Status call_on(Vcpu& on, Handler handler, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0);
    /// Run a hypercall through handle_entry, registers and all; continued ones to their end, or to where the vCPU
    /// blocks. The result is rax.
    Status hypercall(u64 number, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0, u64 a4 = 0);
    /// Enter the core as the stubs would. The exit work is taken, as the home would, and returned.
    ExitWork enter(u64 vector, u32 irq_bits = 0);
    ExitWork take_work() { return take_work(vcpu()); }
    static ExitWork take_work(Vcpu& of);
    [[nodiscard]] static std::optional<u64> queued_msr(const ExitWork& work, u32 index);

    /// Let time pass: by nanoseconds, or to a system time.
    void advance_ns(u64 ns);
    void set_time_ns(u64 ns);

    /// A further vCPU, offline.
    Vcpu& add_vcpu();

    [[nodiscard]] std::unique_ptr<FakeVmState> save() const;
    /// Back to what save() found. No vCPU was added since.
    void restore(const FakeVmState& state);

    [[nodiscard]] Vcpu& vcpu(u32 id = 0) { return *vcpus_[id]; }
    [[nodiscard]] Domain& domain() { return *domain_; }
    [[nodiscard]] abi::shared_info64& shared() { return *domain_->shared; }
    /// Writing uses by the host of the domain's page `pfn`: the test plays the host.
    [[nodiscard]] doorbell::HostUse& host_use(u64 pfn) { return host_use_[mfn(pfn).number]; }
    /// All of them, by MFN, for a host that plays itself.
    [[nodiscard]] doorbell::HostUse* host_use_array() { return host_use_.data(); }
    [[nodiscard]] doorbell::Mailbox& mailbox() { return *mailbox_; }
    [[nodiscard]] u64 nr_frames() const { return max_mfn_; }
    [[nodiscard]] const u64* m2p() const { return m2p_.data(); }

    FakeMachine machine;
    doorbell::BootInfo boot{};

private:
    void build_tables();

    FakeVmOptions options_;
    u64 max_mfn_;
    std::vector<u8> storage_;
    u8* memory_;
    std::vector<Frame> frames_;
    std::vector<doorbell::HostUse> host_use_;
    std::vector<u64> m2p_;
    struct Free {
        void operator()(Channel* channels) const { std::free(channels); }
    };
    std::unique_ptr<Channel[], Free> channels_; ///< of calloc: most of its pages are never touched
    std::unique_ptr<doorbell::Mailbox> mailbox_;
    std::unique_ptr<Domain> domain_;
    std::vector<std::unique_ptr<Vcpu>> vcpus_;
    std::vector<std::unique_ptr<Regs>> regs_;
};

} // namespace parapet::nucleus::test
