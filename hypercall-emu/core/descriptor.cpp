// SPDX-License-Identifier: Apache-2.0
// GDT and LDT of the guest; see descriptor.hpp.
#include "hypercall-emu/core/descriptor.hpp"

#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "pv-abi/arch.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 DESCRIPTOR_PRESENT = 1ULL << 47;
constexpr u64 DESCRIPTOR_CODE_OR_DATA = 1ULL << 44;
constexpr u64 DESCRIPTOR_RING3 = 3ULL << 45;
constexpr unsigned LDT_FIRST_PAGE = (doorbell::AREA_LDT_WINDOW - doorbell::AREA_GDT_WINDOW) / PAGE_SIZE;

/// Map a window page and forget what was there. NO_MFN: zeroes.
void map_window_page(Vcpu& vcpu, unsigned page, Mfn mfn) {
    Domain& domain = *vcpu.domain;
    const Mfn zero{domain.boot->zero_mfn};
    Pte* slot = area_slot(vcpu, doorbell::AREA_GDT_WINDOW + page * PAGE_SIZE);
    const Pte old = *slot;
    const Mfn target = mfn == NO_MFN ? zero : mfn;
    // Accessed bits of descriptors are written by the processor: guest pages are mapped writable, zeroes are not.
    const u64 flags = AREA_PAGE_FLAGS | (mfn == NO_MFN ? 0 : Pte::RW);
    domain.machine->write_pte(slot, Pte::make(target, flags));
    vcpu.work.flags |= ExitWork::FLUSH_TLB;
    if (old.present() && old.mfn() != zero) {
        release_type(vcpu, old.mfn(), FrameType::descriptor);
    }
}

} // namespace

bool descriptor_allowed(u64 descriptor) {
    return (descriptor & DESCRIPTOR_PRESENT) == 0 || (descriptor & DESCRIPTOR_CODE_OR_DATA) != 0;
}

u64 adjust_descriptor(u64 descriptor) {
    return (descriptor & DESCRIPTOR_PRESENT) == 0 ? descriptor : descriptor | DESCRIPTOR_RING3;
}

bool validate_descriptor_page(const Domain& domain, Mfn mfn) {
    u64* descriptors = static_cast<u64*>(domain.machine->frame(mfn));
    for (unsigned i = 0; i < DESCRIPTORS_PER_PAGE; i++) {
        if (!descriptor_allowed(descriptors[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < DESCRIPTORS_PER_PAGE; i++) {
        descriptors[i] = adjust_descriptor(descriptors[i]);
    }
    return true;
}

Status install_gdt(Vcpu& vcpu, const u64* frames, u32 entries) {
    const u32 pages = (entries + DESCRIPTORS_PER_PAGE - 1) / DESCRIPTORS_PER_PAGE;
    if (entries > abi::FIRST_RESERVED_GDT_ENTRY) {
        return -abi::XEN_EINVAL;
    }
    for (u32 i = 0; i < pages; i++) {
        const Status status = acquire_type(vcpu, Mfn{frames[i]}, FrameType::descriptor);
        if (status != 0) {
            for (u32 j = 0; j < i; j++) {
                release_type(vcpu, Mfn{frames[j]}, FrameType::descriptor);
            }
            return status;
        }
    }
    for (u32 i = 0; i < GDT_GUEST_PAGES; i++) {
        map_window_page(vcpu, i, i < pages ? Mfn{frames[i]} : NO_MFN);
        vcpu.gdt_frames[i] = i < pages ? frames[i] : 0;
    }
    vcpu.gdt_entries = entries;
    return 0;
}

Status set_ldt(Vcpu& vcpu, GuestVa base, u32 entries) {
    constexpr u32 MAX_ENTRIES = 8192;
    if (entries > MAX_ENTRIES || (entries != 0 && (base.address & (PAGE_SIZE - 1)) != 0) ||
        (entries != 0 && !is_guest_va(base.address))) {
        return -abi::XEN_EINVAL;
    }
    if (entries == vcpu.ldt_entries && base.address == vcpu.ldt_base && entries == 0) {
        return 0;
    }
    const u32 pages = (entries + DESCRIPTORS_PER_PAGE - 1) / DESCRIPTORS_PER_PAGE;
    for (u32 i = 0; i < LDT_PAGES; i++) {
        Mfn mfn = NO_MFN;
        if (i < pages) {
            const Walk found = walk(*vcpu.domain, vcpu.kernel_root, base + i * PAGE_SIZE);
            if (found.mapped && acquire_type(vcpu, found.entry[3].mfn(), FrameType::descriptor) == 0) {
                mfn = found.entry[3].mfn();
            }
        }
        map_window_page(vcpu, LDT_FIRST_PAGE + i, mfn);
    }
    vcpu.ldt_base = base.address;
    vcpu.ldt_entries = entries;
    vcpu.work.ldt_entries = entries;
    vcpu.work.flags |= ExitWork::LOAD_LDT;
    return 0;
}

/// set_gdt(frame list, entries).
Status do_set_gdt(Vcpu& vcpu, const HypercallArgs& args) {
    const u64 entries = args.a[1];
    if (entries > abi::FIRST_RESERVED_GDT_ENTRY) {
        return -abi::XEN_EINVAL;
    }
    u64 frames[GDT_GUEST_PAGES] = {};
    const u64 pages = (entries + DESCRIPTORS_PER_PAGE - 1) / DESCRIPTORS_PER_PAGE;
    if (!copy_from_guest(vcpu, frames, GuestVa{args.a[0]}, pages * sizeof(u64))) {
        return -abi::XEN_EFAULT;
    }
    return install_gdt(vcpu, frames, static_cast<u32>(entries));
}

/// update_descriptor(machine address, descriptor).
Status do_update_descriptor(Vcpu& vcpu, const HypercallArgs& args) {
    Domain& domain = *vcpu.domain;
    const Mfn mfn{args.a[0] >> PAGE_SHIFT};
    const u64 offset = args.a[0] & (PAGE_SIZE - 1);
    if ((offset & 7) != 0 || !domain.frames.domain_owns(mfn) || !descriptor_allowed(args.a[1])) {
        return -abi::XEN_EINVAL;
    }
    const Frame frame = domain.frames[mfn];
    const FrameType type =
        frame.type_count() != 0 && frame.type() == FrameType::descriptor ? FrameType::descriptor : FrameType::writable;
    const Status status = acquire_type(vcpu, mfn, type);
    if (status != 0) {
        return status;
    }
    u64* slot = static_cast<u64*>(domain.machine->frame(mfn)) + offset / sizeof(u64);
    __atomic_store_n(slot, adjust_descriptor(args.a[1]), __ATOMIC_RELAXED);
    release_type(vcpu, mfn, type);
    return 0;
}

} // namespace parapet::nucleus
