// SPDX-License-Identifier: Apache-2.0
// State of one virtual CPU, and what the core asks of the home that it runs in (ExitWork).
#pragma once

#include "hypercall-emu/core/regs.hpp"
#include "hypercall-emu/core/types.hpp"
#include "pv-abi/event_channel.hpp"
#include "pv-abi/nucleus_image.hpp"
#include "pv-abi/shared_info.hpp"
#include "pv-abi/vcpu.hpp"

namespace parapet::nucleus {

struct Domain;

/// What the home does after the core returns and before the guest runs. The core itself never needs privilege: the
/// guest's mappings are only walked in software, so a flush may wait until then.
struct ExitWork {
    static constexpr u32 FLUSH_TLB = 1 << 0;        ///< all entries of this vCPU: none is global
    static constexpr u32 INVLPG = 1 << 2;           ///< `invlpg_va`
    static constexpr u32 SWAPGS = 1 << 3;           ///< user and kernel GS base change places (an even number cancels)
    static constexpr u32 WRITE_MSR = 1 << 4;        ///< the first `nr_msrs` of `msrs`
    static constexpr u32 BLOCK = 1 << 5;            ///< wait for an interrupt, then enter again with vector::WAKE
    static constexpr u32 DEBUG_REGS = 1 << 6;       ///< load debug registers from Vcpu::dr
    static constexpr u32 SET_TS = 1 << 7;           ///< CR0.TS := Vcpu::ts
    static constexpr u32 LOAD_LDT = 1 << 8;         ///< LDT of `ldt_entries` entries at this vCPU's window
    static constexpr u32 LOAD_GS_SELECTOR = 1 << 9; ///< user GS selector := `gs_selector`
    static constexpr u32 DOORBELL = 1 << 10;        ///< write the doorbell port
    static constexpr u32 STOP = 1 << 11;            ///< the domain is over: never run the guest again
    static constexpr u32 LOAD_FEATURES = 1 << 13;   ///< CR4_LOADED and CPUID faulting, as the guest set them
    static constexpr u32 LOOK_FOR_NMI = 1 << 12;    ///< no quick way back: deliver_pending_events() has one to deliver

    struct MsrWrite {
        u32 index;
        u64 value;
    };
    static constexpr unsigned MAX_MSRS = 6;

    u32 flags;
    u32 nr_msrs;
    MsrWrite msrs[MAX_MSRS];
    u64 invlpg_va;
    u32 ldt_entries;
    u32 gs_selector;
};

/// A guest trap handler (set_trap_table).
struct TrapHandler {
    u64 address;
    u16 cs;
    u8 flags; ///< TI_DPL_MASK, TI_IF
};

/// An entry point that the guest registered (callback_op).
struct Callback {
    u64 address;
    bool mask_events;
};

struct Runstate {
    int state;
    u64 entry_time;
    u64 time[4];
    u64 guest_va; ///< registered area, 0: none
};

struct HypercallArgs {
    u64 a[6];
};

/// The last hypercalls, for the crash report.
struct CallTrace {
    static constexpr unsigned SIZE = 16;
    struct Call {
        u64 number;
        HypercallArgs args;
        Status result;
        u64 rip;
    } calls[SIZE];
    u64 count;
};

struct Vcpu {
    // ---- read and written by the entry stubs; offsets are asserted in asm_offsets.hpp ----
    Regs* regs;        ///< of the guest, valid while the core runs
    u64 cr2;           ///< of the page fault being handled
    u64 cr3;           ///< home ring3: root to leave the core with, see current_root()
    u64 kernel_cr3;    ///< guest kernel root (machine address)
    u64 user_cr3;      ///< guest user root; where there is none, a root without guest mappings
    u64 kernel_sp;     ///< stack of the guest kernel for entries from user mode
    u8* info;          ///< vcpu_info, as the core sees it (both widths begin alike)
    u64 syscall_entry; ///< callback address, 0: none
    ExitWork work;
    u8 kernel_mode; ///< 1: the guest kernel runs, 0: guest user mode
    u8 syscall_masks_events;
    u8 fault_samples;       ///< counts kernel faults of the fast path; at 0 the core has a look at one
    u8 ts;                  ///< CR0.TS as the guest set it
    u32 irq_bits;           ///< IRQ_*: set by ring-0 interrupt stubs, consumed by the core
    u64 syscalls;           ///< counted by the fast path
    u64 syscall_stub;       ///< LSTAR, where SYSCALL may arrive as a page fault
    TrapHandler page_fault; ///< traps[14] once more (set_trap); none where the stubs cannot deliver page faults
    u8* entry_info;         ///< vcpu_info, as the entry stubs see it (place_info)
    u8 nmi_masked;          ///< an NMI was delivered, and no iret has come since: `iret` is the core's

    /// The rest of the area's first page: TSS, entry stack and more, by their offsets (nucleus_image.hpp).
    alignas(doorbell::AREA_TSS) u8 first_page[doorbell::AREA_ENTRY_END - doorbell::AREA_TSS];
    TrapHandler traps[256];

    static constexpr u32 IRQ_TIMER = 1, IRQ_MAILBOX = 2, IRQ_WAKE = 4;

    // ---- the core's own ----
    Domain* domain;
    u32 id;
    bool online;
    u32 units_done; ///< of long work since this hypercall was issued, see preemption_due
    bool preempted; ///< the running hypercall asked for continuation (continue_hypercall)
    HypercallArgs continuation;
    u32 continued_args; ///< so many of `continuation`
    bool in_multicall;
    bool poll_wait; ///< SCHEDOP_poll: woken by any of the polled ports
    bool blocked;
    bool hold_events; ///< the guest is in the middle of a step of ours: deliver events at its end
    Callback event_callback, failsafe_callback, sysenter_callback;
    u64 syscall32_entry; ///< callback address, 0: none
    u64 kernel_ss;
    u64 info_mfn;    ///< frame of a registered vcpu_info, ~0: in shared_info
    u64 info_offset; ///< in its frame
    u8 core_only[2]; ///< what the entry stubs take for vcpu_info while the core has to see each entry
                     ///< (place_entry_info)
    u64 gdt_frames[16];
    u32 gdt_entries;
    u64 ldt_base; ///< guest VA
    u32 ldt_entries;
    u64 dr[8];
    u64 cr4;           ///< as the guest sees it
    bool cpuid_faults; ///< MSR_MISC_FEATURES_ENABLES: CPUID of user mode is a #GP
    u64 xcr0;
    u64 timer_deadline_ns; ///< system time, 0: off
    u64 periodic_ns;       ///< period, 0: off
    u64 poll_deadline_ns;  ///< SCHEDOP_poll timeout, 0: none
    u64 armed_tsc;         ///< what the hardware timer holds, 0: off; never later than the earliest deadline
    Runstate runstate;
    u64 time_area_va;
    Mfn kernel_root, user_root; ///< user_root NO_MFN: none
    u32 iopl;
    bool tlb_stale; ///< a writable mapping was dropped and may linger in this vCPU's TLB
    struct {
        u64 registers, cr2, vector, count;
    } last_fault; ///< to notice a guest that loops on one fault
    CallTrace trace;

    // ---- events.cpp, time.cpp, sched.cpp, vcpu_op.cpp ----
    bool kicked;          ///< something happened that ends SCHEDOP_block or SCHEDOP_poll; set by any vCPU
    bool initialised;     ///< VCPUOP_initialise was done, or the builder's vCPU
    bool started;         ///< has run guest code
    bool nmi_pending;     ///< VCPUOP_send_nmi; traps.cpp delivers it to traps[2], see nmi_masked
    u32 poll_port;        ///< the only port polled, 0: any
    u64 periodic_next_ns; ///< when the periodic timer is next due
    Regs start_regs;      ///< VCPUOP_initialise: loaded by start_vcpu()
    u64 start_fs_base, start_gs_kernel, start_gs_user;

    // ---- fifo_events.cpp ----
    u64 fifo_control;                           ///< machine address of the control block, 0: none
    u32 fifo_tail[abi::EVTCHN_FIFO_MAX_QUEUES]; ///< port put last on each queue, 0: none

    // ---- emulate.cpp, msr.cpp, port_io.cpp ----
    u64 io_bitmap_va;    ///< PHYSDEVOP_set_iobitmap: guest VA, 0: none
    u32 io_bitmap_ports; ///< ports that it covers
    u64 tsc_aux;         ///< what rdtscp and rdpid show
    u64 spec_ctrl;       ///< as the guest set it; not loaded

    /// Root that the guest runs on, as its mode says.
    [[nodiscard]] u64 current_root() const { return kernel_mode ? kernel_cr3 : user_cr3; }
    [[nodiscard]] abi::vcpu_info64& info64() { return *reinterpret_cast<abi::vcpu_info64*>(info); }
};

} // namespace parapet::nucleus
