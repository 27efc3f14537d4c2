// SPDX-License-Identifier: Apache-2.0
// What the core asks of the home at once, and how it reaches memory. One implementation per home:
// ring0/machine.cpp, ring3/machine.cpp, and tests/unit/nucleus/fake_machine.cpp.
#pragma once

#include "hypercall-emu/core/pte.hpp"
#include "hypercall-emu/core/types.hpp"
#include "pv-abi/doorbell.hpp"

namespace parapet::nucleus {

class Machine {
public:
    /// Where all VM memory is mapped for the core; frame n at base + n * 4096.
    u8* directmap = nullptr;
    doorbell::Mailbox* mailbox = nullptr;
    struct Vcpu* vcpu = nullptr; ///< the one that runs here

    [[nodiscard]] void* frame(Mfn mfn) const { return directmap + mfn.address(); }
    [[nodiscard]] Pte* table(Mfn mfn) const { return static_cast<Pte*>(frame(mfn)); }

    /// Store a page-table entry in one access. Every write to a live table goes through here.
    void write_pte(Pte* slot, Pte value);
    /// Replace `expected` by `value` if the slot still holds it; the processor may set accessed and dirty meanwhile.
    [[nodiscard]] bool replace_pte(Pte* slot, Pte expected, Pte value);

    /// The guest's root changes and the old one may be released: stop walking it now (home ring0), or nothing to do.
    void activate_root(u64 cr3);
    /// ds, es, fs, gs as the guest has them loaded.
    void data_selectors(u16 (&selectors)[4]);
    [[nodiscard]] u64 read_tsc();
    /// FS_BASE, GS_BASE or KERNEL_GS_BASE as the guest left them. GS_BASE is the base that the guest's mode uses.
    [[nodiscard]] u64 read_msr(u32 index);
    /// All ones in the low `bytes` (4, 8 or 16) of the guest's SSE register `number`, zeroes above. False: not here.
    [[nodiscard]] bool fill_vector_register(unsigned number, unsigned bytes);
    /// Serve `mailbox->request` synchronously (an exit to the vmm). Returns RequestBlock::result.
    int64_t request(doorbell::Request kind, u32 length);
    /// Raise WAKE_VECTOR at another vCPU.
    void wake(u32 vcpu);
};

} // namespace parapet::nucleus
