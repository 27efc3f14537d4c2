// SPDX-License-Identifier: Apache-2.0
// What must hold whenever the core has returned, whatever the guest does: the memory invariants, what the home is asked
// to do, what the guest gets to see in its registers, and the nucleus's own state.
#pragma once

#include "tests/fuzz/core_fuzz_tlb.hpp"
#include "tests/fuzz/core_fuzz_world.hpp"

#include <vector>

namespace parapet::nucleus::fuzz {

class Checker {
public:
    explicit Checker(World& world);

    /// A new input begins.
    void reset();
    void before_entry();
    /// The core returned on the running vCPU: check everything, and take its exit work as the home would. `meddled`:
    /// somebody else acted meanwhile.
    void after_entry(bool meddled);
    /// No invariant of memory may hang on what only the last step saw: nucleus frames and free ones keep their content.
    void at_end();
    /// A page-table entry is about to be stored.
    void before_store(Pte* slot, Pte value);
    void root_activated(u64 cr3);

private:
    void check_work(const Vcpu& vcpu, const ExitWork& work) const;
    void check_registers(const Vcpu& vcpu) const;
    void check_handlers(const Vcpu& vcpu) const;
    void check_debug_registers(const Vcpu& vcpu) const;
    void check_windows(const Vcpu& vcpu);
    void check_channels() const;
    void check_nucleus_frames();
    void check_memory();
    [[nodiscard]] std::vector<u16> lease_marks() const;

    World& world_;
    TlbModel tlb_;
    std::vector<u16> lease_marks_;   ///< as the entry found them
    std::vector<u8> nucleus_memory_; ///< frames below the domain's, as they were
};

} // namespace parapet::nucleus::fuzz
