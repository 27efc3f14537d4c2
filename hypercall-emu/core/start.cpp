// SPDX-License-Identifier: Apache-2.0
// First steps of the core; see start.hpp.
#include "hypercall-emu/core/start.hpp"

#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/boot_features.hpp"

namespace parapet::nucleus {

namespace {

/// Frames of the domain: its reservation first, then room to grow, free.
void set_owners(Domain& domain, const doorbell::BootInfo& boot) {
    const u64 reserved = boot.domain.nr_pages;
    u64 seen = 0;
    for (u64 number = boot.domain_first_mfn; number < boot.max_mfn; number++) {
        if (number == boot.low_end_mfn) {
            number = boot.high_start_mfn;
            if (number >= boot.max_mfn) {
                break;
            }
        }
        if (seen++ == reserved) {
            break;
        }
        domain.frames[Mfn{number}].set_owner(FrameOwner::domain);
    }
    owns(domain, reserved);
    domain.max_pages = boot.domain.max_pages;
    domain.linear_tables = (boot.domain.features & doorbell::BOOT_LINEAR_TABLES) != 0;
}

void set_registers(Vcpu& vcpu, const doorbell::DomainBoot& boot) {
    Regs& regs = *vcpu.regs;
    fill_bytes(&regs, 0, sizeof(regs));
    regs.rip = boot.rip;
    regs.rsp = boot.rsp;
    regs.rsi = boot.rsi;
    regs.cs = abi::x64::FLAT_KERNEL_CS;
    regs.ss = abi::x64::FLAT_KERNEL_SS;
    regs.rflags = rflags::IF | rflags::FIXED;
    regs.vector = vector::START;
}

/// The vmm writes to a ring whatever the guest does, so its frame may never become a page table. 0: there is no ring.
bool hold_ring(Vcpu& vcpu, u64 mfn) {
    return mfn == 0 || acquire_type(vcpu, Mfn{mfn}, FrameType::writable) == 0;
}

} // namespace

void connect_machine(Machine& machine, Domain& domain, Vcpu& vcpu, const doorbell::BootInfo& boot) {
    machine.directmap = reinterpret_cast<u8*>(doorbell::DIRECTMAP_VA);
    machine.mailbox = reinterpret_cast<doorbell::Mailbox*>(doorbell::MAILBOX_VA);
    machine.vcpu = &vcpu;
    domain.machine = &machine;
    domain.frames = FrameTable{reinterpret_cast<Frame*>(doorbell::FRAME_TABLE_VA), boot.max_mfn};
    domain.host_use = reinterpret_cast<const doorbell::HostUse*>(doorbell::HOST_USE_VA);
    domain.m2p = reinterpret_cast<u64*>(doorbell::M2P_WRITABLE_VA);
    domain.channels = reinterpret_cast<Channel*>(doorbell::CHANNEL_TABLE_VA);
    domain.area_tables = reinterpret_cast<Pte*>(doorbell::AREA_TABLES_VA);
    for (u64 slot = doorbell::HOLE_FIRST_SLOT; slot <= doorbell::HOLE_LAST_SLOT; slot++) {
        domain.hole_template[slot - doorbell::HOLE_FIRST_SLOT] = machine.table(Mfn{boot.stub_root_mfn})[slot].raw;
    }
}

bool start_domain(Domain& domain, Vcpu& vcpu, const doorbell::BootInfo& boot) {
    domain.boot = &boot;
    domain.domid = boot.domain.domid;
    domain.nr_vcpus = 1;
    domain.vcpus[0] = &vcpu;
    domain.free_head = ~0ULL;
    domain.pool_next = boot.pool_first_mfn;
    domain.pool_end = boot.pool_end_mfn;
    set_owners(domain, boot);

    domain.shared_mfn = Mfn{boot.domain.shared_info_mfn};
    domain.shared = static_cast<abi::shared_info64*>(domain.machine->frame(domain.shared_mfn));
    domain.frames[domain.shared_mfn].set_owner(FrameOwner::shared);
    for (auto& info : domain.shared->vcpu_info) {
        info.evtchn_upcall_mask = 1;
    }

    vcpu.domain = &domain;
    vcpu.id = 0;
    vcpu.online = true;
    place_info(vcpu, domain.shared_mfn, offsetof(abi::shared_info64, vcpu_info));
    vcpu.info_mfn = ~0ULL;
    vcpu.kernel_mode = 1;
    vcpu.kernel_root = NO_MFN;
    vcpu.user_root = NO_MFN;
    vcpu.user_cr3 = boot.stub_root_mfn << PAGE_SHIFT;
    vcpu.cr4 = 1 << 5; // PAE
    vcpu.dr[6] = 0xffff0ff0;
    vcpu.dr[7] = 0x400;
    vcpu.kernel_ss = abi::x64::FLAT_KERNEL_SS;
    set_registers(vcpu, boot.domain);

    init_time(domain);
    init_vcpu_time(vcpu);
    init_events(domain);

    start_grant_table(domain, Mfn{boot.domain.console_mfn}, Mfn{boot.domain.store_mfn});
    const Mfn root{boot.domain.root_mfn};
    const bool rings_held = hold_ring(vcpu, boot.domain.store_mfn) && hold_ring(vcpu, boot.domain.console_mfn);
    if (!rings_held || set_kernel_root(vcpu, root) != 0 || pin_table(vcpu, root, FrameType::l4) != 0) {
        crash_guest(vcpu, "the initial page tables break the rules");
        return false;
    }
    return true;
}

} // namespace parapet::nucleus
