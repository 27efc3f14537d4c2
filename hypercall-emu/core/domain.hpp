// SPDX-License-Identifier: Apache-2.0
// State of the domain in this VM. All state of the core hangs off Domain and Vcpu.
#pragma once

#include "hypercall-emu/core/frame_table.hpp"
#include "hypercall-emu/core/machine.hpp"
#include "hypercall-emu/core/types.hpp"
#include "hypercall-emu/core/vcpu.hpp"
#include "pv-abi/doorbell.hpp"
#include "pv-abi/event_channel.hpp"

namespace parapet::nucleus {

enum class ChannelState : u8 { closed, unbound, host, self, virq, ipi };

/// One event channel. `host`: the other end is the vmm (bit `port` of the doorbell bitmaps).
struct Channel {
    ChannelState state;
    u8 vcpu;              ///< who is notified
    u8 priority : 4;      ///< FIFO ABI: queue for the next event
    u8 last_priority : 4; ///< FIFO ABI: queue that it was last put on, also by an earlier life of the port, ...
    u8 last_vcpu : 7;     ///< ... and whose that is
    u8 pending : 1;       ///< FIFO ABI: an event came before the page with the port's word
    u32 other;            ///< self, host: port of the other end; unbound: domain that may bind it; virq: its number
};
static_assert(sizeof(Channel) == 8 && doorbell::MAX_VCPUS <= 128);

inline constexpr unsigned NR_CHANNELS = abi::EVTCHN_FIFO_NR_CHANNELS;
static_assert(doorbell::CHANNEL_TABLE_SIZE == NR_CHANNELS * sizeof(Channel));

/// The FIFO event-channel ABI (fifo_events.hpp).
struct FifoEvents {
    static constexpr u32 WORDS_PER_PAGE = PAGE_SIZE / sizeof(u32);
    static constexpr u32 MAX_PAGES = NR_CHANNELS / WORDS_PER_PAGE;
    bool active; ///< else it is the 2-level one
    u32 nr_pages;
    u64 pages[MAX_PAGES]; ///< MFNs of the guest's event words, by port
};

/// How system time follows from the TSC: ns = START_NS + (((tsc - base_tsc) << shift) * mul >> 32), as vcpu_time_info
/// has it.
struct Clock {
    static constexpr u64 START_NS = 1000; ///< at base_tsc: a guest may take 0 for "not set"
    u64 base_tsc;
    u64 tsc_khz;
    u32 mul;
    int shift;
    u64 wall_clock_ns; ///< UTC at base_tsc
};

struct GrantTable {
    static constexpr unsigned MAX_FRAMES = doorbell::MAX_GRANT_FRAMES;
    u64 frames[MAX_FRAMES]; ///< MFNs of the table, owner shared
    u32 nr_frames;
    u32 max_frames;
    u64 status_frames[MAX_FRAMES];
    u32 nr_status_frames;
    u32 version;
    /// A grant that the domain has mapped (it can only be one of its own); the handle is its number.
    struct Mapping {
        u64 frame; ///< MFN that was granted
        u32 ref;
        u32 flags; ///< GNTMAP_*, 0: free
    };
    static constexpr unsigned MAX_MAPPINGS = 1024;
    Mapping mappings[MAX_MAPPINGS];
    u32 mappings_end; ///< none from here on was ever in use
};

struct Domain {
    Machine* machine;
    FrameTable frames;
    const doorbell::HostUse* host_use; ///< by MFN: writing uses by the host (doorbell.hpp)
    u64* m2p;                          ///< writable view of the machine-to-physical table
    const doorbell::BootInfo* boot;
    abi::shared_info64* shared; ///< as the core sees it
    Mfn shared_mfn;
    u32 domid;
    u64 io_mappings; ///< present L1 entries with a frame that is no RAM (io_memory.hpp)
    u64 nr_pages;    ///< frames owned now
    u64 max_pages;
    u64 nr_free;             ///< frames on the free list (owner free)
    u64 free_head;           ///< MFN of the first free frame, ~0: none; see free_frames.hpp
    u64 pool_next, pool_end; ///< MFNs the nucleus may take for grant frames and the like
    u64 vm_assist;
    Pte* area_tables;      ///< L1 tables from NUCLEUS_VA to the end of the last vCPU's area, contiguous
    u64 hole_template[16]; ///< L4 entries 256..271 of every root
    Clock clock;
    Channel* channels;   ///< NR_CHANNELS, zeroed; memory that is backed where it is used
    u32 ports_end;       ///< one past the ports that exist: grows by PORTS_GRAIN as they are opened
    u32 first_free_port; ///< none below it is closed
    u32 next_reset;      ///< EVTCHNOP_reset that is under way goes on at this port, 0: none
    FifoEvents fifo;
    u32 virq_port[doorbell::MAX_VCPUS][abi::NR_VIRQS];
    GrantTable grants;
    bool dead;
    bool linear_tables; ///< BOOT_LINEAR_TABLES: its tables may name themselves (table_validation.cpp)
    u32 nr_vcpus;
    Vcpu* vcpus[doorbell::MAX_VCPUS];

    /// Is there memory behind that frame number? Whose, the frame table says.
    [[nodiscard]] bool is_ram(Mfn mfn) const {
        return mfn.number < boot->low_end_mfn || (mfn.number >= boot->high_start_mfn && frames.contains(mfn));
    }
    /// Does the guest mean itself by this domain id?
    [[nodiscard]] bool is_self(u64 id) const { return id == abi::DOMID_SELF || id == domid; }
    /// Has the guest switched on this VMASST_TYPE_*?
    [[nodiscard]] bool assists(unsigned type) const { return (vm_assist >> type & 1) != 0; }
    static constexpr unsigned NR_WATCHDOGS = 2;
    u64 watchdog_deadline_ns[NR_WATCHDOGS]; ///< 0: not in use
    u32 shutdown_code_plus_1;               ///< SCHEDOP_shutdown_code, 0: not set
    bool has_pirq_eoi_page;                 ///< PHYSDEVOP_pirq_eoi_gmfn was done; its frame stays referenced
};

/// The vCPU of that number, or nullptr.
[[nodiscard]] inline Vcpu* find_vcpu(Domain& domain, u64 id) {
    return id < domain.nr_vcpus && id < doorbell::MAX_VCPUS ? domain.vcpus[id] : nullptr;
}

} // namespace parapet::nucleus
