// SPDX-License-Identifier: Apache-2.0
// The contract between the vmm process and the nucleus inside the VM: address map, boot information, mailbox, doorbell.
// It is ours, not Xen's. Both sides include only this; every structure is plain, fixed-size and lives in VM memory.
//
//   nucleus -> vmm, asynchronous: set a bit in Mailbox::to_vmm, then write DOORBELL_PORT (an ioeventfd: no exit to
//   user). nucleus -> vmm, synchronous:  fill Mailbox::request, then write REQUEST_PORT (an exit to the vmm process).
//   vmm -> nucleus:               set a bit in Mailbox::to_nucleus, then signal the irqfd (MSI MAILBOX_VECTOR).
//
// The vmm copies each field once and checks it; the nucleus trusts the vmm.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace parapet::doorbell {

// ---- Address map of the hypervisor hole (L4 slots 256-271), see docs/architecture.md -------------------------------

inline constexpr uint64_t HOLE_FIRST_SLOT = 256;
inline constexpr uint64_t HOLE_LAST_SLOT = 271;
inline constexpr uint64_t slot_va(uint64_t slot) {
    return 0xffff000000000000ULL | (slot << 39);
}

inline constexpr uint64_t M2P_SLOT_ABI = 256;   ///< where the ABI has the machine-to-physical table
inline constexpr uint64_t M2P_SLOT_OTHER = 257; ///< where a substrate forbids slot 256 (BootInfo::m2p_va says which)
inline constexpr uint64_t NUCLEUS_SLOT = 260;   ///< image, boot info, mailbox, per-vCPU areas, frame table
inline constexpr uint64_t DIRECTMAP_SLOT = 261; ///< the domain's memory (512 GiB at most)
inline constexpr uint64_t GATE_SLOT = 263;      ///< system-call gate for ring 3, two pages per vCPU (home ring3)

// What every entry from the guest needs lies close together: each change of root empties the TLB, and pages that share
// one L1 table are found again by fewer reads.
inline constexpr uint64_t NUCLEUS_VA = slot_va(NUCLEUS_SLOT);
inline constexpr uint64_t NUCLEUS_IMAGE_MAX = 0xc0000;         ///< nucleus.lds holds it to that
inline constexpr uint64_t BOOT_INFO_VA = NUCLEUS_VA + 0xc0000; ///< one or more pages, read-only after boot
inline constexpr uint64_t IDT_VA = NUCLEUS_VA + 0xd0000;       ///< one page, of all vCPUs
inline constexpr uint64_t MAILBOX_VA = NUCLEUS_VA + 0xe0000;
inline constexpr uint64_t VCPU_AREA_VA = NUCLEUS_VA + 0x100000;      ///< VCPU_AREA_SIZE per vCPU
inline constexpr uint64_t CHANNEL_TABLE_VA = NUCLEUS_VA + 0x1000000; ///< event channels, 8 bytes each (MAX_PORTS)
inline constexpr uint64_t AREA_TABLES_VA = NUCLEUS_VA + 0x40000000;  ///< the L1 tables of the vCPU areas, to be written
inline constexpr uint64_t FRAME_TABLE_VA = NUCLEUS_VA + 0x80000000;  ///< one uint64_t per MFN
inline constexpr uint64_t M2P_WRITABLE_VA =
    NUCLEUS_VA + 0x2000000000;                                     ///< the m2p as the nucleus writes it (supervisor)
inline constexpr uint64_t HOST_USE_VA = NUCLEUS_VA + 0x4000000000; ///< one uint16_t per MFN, see HostUse
inline constexpr uint64_t DIRECTMAP_VA = slot_va(DIRECTMAP_SLOT);
inline constexpr uint64_t GATE_VA = slot_va(GATE_SLOT);
inline constexpr uint64_t GATE_SIZE = 2 * 4096; ///< code, then the vCPU's data (read-only for ring 3)

inline constexpr uint64_t VCPU_AREA_SIZE = 256 * 1024; ///< see nucleus_image.hpp
inline constexpr unsigned MAX_VCPUS = 32;
/// Start of a vCPU's area in the nucleus's address space.
inline constexpr uint64_t vcpu_area_va(uint64_t vcpu) {
    return VCPU_AREA_VA + vcpu * VCPU_AREA_SIZE;
}

// ---- Ports and vectors ---------------------------------------------------------------------------------------------

inline constexpr uint16_t DOORBELL_PORT = 0x5078; ///< bound to an ioeventfd
inline constexpr uint16_t REQUEST_PORT = 0x5070;  ///< exits to the vmm, which serves Mailbox::request

inline constexpr uint8_t TIMER_VECTOR = 0xec;
inline constexpr uint8_t MAILBOX_VECTOR = 0xed;
inline constexpr uint8_t WAKE_VECTOR = 0xee; ///< between vCPUs
inline constexpr uint8_t SPURIOUS_VECTOR = 0xff;

// ---- Boot information: vmm -> nucleus, once ------------------------------------------------------------------------

inline constexpr uint64_t BOOT_MAGIC = 0x746f6f6274507250ULL;

/// How a SYSCALL at ring 3 arrives at the nucleus (docs/substrates.md: probed at start).
enum class SyscallArrival : uint32_t {
    ring0 = 0,      ///< at LSTAR, at ring 0, as the processor manuals say
    page_fault = 1, ///< at LSTAR but still at ring 3: a #PF with RIP = CR2 = LSTAR
};

/// Where the C++ core runs (docs/architecture.md: homes).
enum class Home : uint32_t { ring0 = 0, ring3 = 1 };

/// One CPUID leaf of the policy that the guest kernel sees.
struct CpuidLeaf {
    uint32_t leaf, subleaf;
    uint32_t has_subleaf; ///< 1: `subleaf` must match
    uint32_t eax, ebx, ecx, edx;
    uint32_t reserved;
};
inline constexpr unsigned MAX_CPUID_LEAVES = 96;

/// The initial state of the domain, as the domain builder made it.
struct DomainBoot {
    uint64_t nr_pages;  ///< frames that the domain owns at start (its reservation)
    uint64_t max_pages; ///< the most it may own
    uint64_t shared_info_mfn;
    uint64_t root_mfn;          ///< L4 of the initial page tables; unvalidated
    uint64_t rip, rsp, rsi;     ///< rsi: guest VA of start_info
    uint64_t hypercall_page_va; ///< 0: none
    uint32_t store_port, console_port;
    uint64_t store_mfn, console_mfn;
    uint32_t domid;
    uint32_t features; ///< BOOT_*, boot_features.hpp
};

struct BootInfo {
    uint64_t magic;
    uint64_t size;    ///< sizeof(BootInfo), checked
    uint64_t max_mfn; ///< one past the last MFN of VM memory, nucleus included
    uint64_t m2p_va;
    uint64_t low_end_mfn; ///< RAM is [0, low_end_mfn) and [high_start_mfn, max_mfn)
    uint64_t high_start_mfn;
    uint64_t domain_first_mfn;             ///< frames of the domain: RAM at or above this, below nothing is the guest's
    uint64_t core_root_mfn;                ///< L4 of the core's own address space (home ring3)
    uint64_t stub_root_mfn;                ///< L4 the vCPUs start on: hole only
    uint64_t zero_mfn;                     ///< a page of zeroes, never written
    uint64_t pool_first_mfn, pool_end_mfn; ///< frames for grant tables
    uint64_t tsc_khz;
    uint64_t wall_clock_ns; ///< host CLOCK_REALTIME when the nucleus's TSC read boot_tsc
    uint64_t boot_tsc;
    uint64_t xcr0; ///< the XCR0 the substrate lets the guest have, 0: no XSAVE
    SyscallArrival syscall_arrival;
    Home home;
    uint32_t nr_vcpus;
    uint32_t hypercall_instruction_length; ///< bytes to step back to issue a hypercall again
    uint32_t has_nx, has_pge, has_smep, has_fsgsbase, use_global;
    DomainBoot domain;
    uint32_t nr_cpuid;
    uint32_t trace; ///< 1: log every hypercall
    CpuidLeaf cpuid[MAX_CPUID_LEAVES];
    uint8_t uuid[16];
};

// ---- Mailbox -------------------------------------------------------------------------------------------------------

inline constexpr unsigned MAX_PORTS = 1u << 17; ///< as the FIFO event-channel ABI has them
inline constexpr uint64_t CHANNEL_TABLE_SIZE = MAX_PORTS * 8;

/// Pending bits by event-channel port. Bit s of the selector stands for the words s, s + 64, s + 128, ...: one word in
/// the first PORT_ROW ports, which are all that most guests use (Mailbox::port_rows). Producer: fetch_or word, then
/// selector; consumer: exchange selector, then its words.
struct PortBitmap {
    uint64_t selector;
    uint64_t word[MAX_PORTS / 64];
};
inline constexpr unsigned PORT_ROW = 64 * 64;
inline constexpr unsigned MAX_PORT_ROWS = MAX_PORTS / PORT_ROW;

enum class Request : uint32_t {
    none = 0,
    log = 1,          ///< text of `length` bytes in `text`
    shutdown = 2,     ///< argument[0]: SHUTDOWN_* of the ABI
    crash = 3,        ///< `crash` is filled; the domain is over
    release = 4,      ///< `length` MFNs in `frames`: give their memory back to the host
    reclaim = 5,      ///< `length` MFNs in `frames`: about to be used again (accounting; result 0 or -errno)
    nucleus_bug = 6,  ///< as crash, but the nucleus's own fault
    port_closed = 7,  ///< argument[0]: port that the guest closed
    wall_clock = 8,   ///< result: ns since 1970 at the host; argument[0] receives nothing
    console_write = 9 ///< text: CONSOLEIO_write of the guest
};

inline constexpr unsigned REQUEST_TEXT = 2048;
inline constexpr unsigned REQUEST_FRAMES = 256;

/// General registers and the frame as the entry stubs store them (hypercall-emu/core/regs.hpp has the same order).
struct CrashRegs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct CrashCall {
    uint64_t number;
    uint64_t argument[4];
    int64_t result;
    uint64_t rip;
};

struct CrashReport {
    CrashRegs regs;
    uint64_t cr2, kernel_root, user_root;
    uint32_t guest_kernel_mode, vcpu;
    uint64_t walk_va;
    uint64_t walk[4];     ///< L4, L3, L2, L1 entries as far as present
    uint64_t walk_levels; ///< how many are valid
    uint64_t nr_calls;
    CrashCall calls[16]; ///< latest last
    uint64_t nr_code;
    uint8_t code[32]; ///< bytes at rip
    uint64_t nr_stack;
    uint64_t stack[32]; ///< words at rsp
    char reason[160];   ///< one line, zero-terminated
};

struct RequestBlock {
    Request kind;
    uint32_t length;
    uint64_t argument[4];
    int64_t result;
    union {
        char text[REQUEST_TEXT];
        uint64_t frames[REQUEST_FRAMES];
        CrashReport crash;
    };
};

/// Counters the nucleus keeps for --stats and tools/bench.
struct Counters {
    uint64_t hypercalls[64];
    uint64_t exceptions[32];
    uint64_t interrupts, upcalls, syscalls, ptwr, emulated, blocks, tlb_flushes, frames_released;
    uint64_t frames_owned; ///< by the guest now
};

// ---- Grants: what the host uses of the guest's memory
// ----------------------------------------------------------------
//
// Each of these pairs is decided by the same rule: both sides first write their own word, then (after a full fence)
// read the other's. So at least one of them sees the other, and whoever does gives way.
//
//   the host writes into a frame      HostUse[mfn]++            then reads the frame's word (frame_word.hpp)
//   the frame becomes a table, or     word = new type or owner  then reads HostUse[mfn]; not 0: takes it back, -EBUSY
//   or leaves the domain                                           -EINVAL to the guest
//
//   the host begins to use grants     host_leases = n           then reads `sequence`; odd: gives up, GNTST_eagain
//   the version of the table changes  sequence odd              then reads host_leases; not 0: even again, -EBUSY
//
//   the host marks an entry           GTF_reading, ...          then reads `sequence` again; it moved: unmarks, begins
//   anew two entries are swapped           sequence odd              then reads the entries' marks; any: even again,
//   eagain
//
// HostUse counts the writing uses of each frame: an array of uint16_t by MFN at HOST_USE_VA, all zero at start, written
// by the host alone.
using HostUse = uint16_t;

inline constexpr unsigned MAX_GRANT_FRAMES = 64;

/// The grant table as it is. It only grows, with an even sequence: first the frame numbers are written, then (with
/// release) the count. Everything else changes only while `sequence` is odd.
struct GrantInfo {
    uint32_t sequence; ///< odd: the nucleus is at work on entries or version
    uint32_t version;  ///< 2, or else 1
    uint32_t nr_frames;
    uint32_t nr_status_frames;         ///< of version 2; published before the frames whose entries they belong to
    uint64_t frames[MAX_GRANT_FRAMES]; ///< MFNs
    uint64_t status_frames[MAX_GRANT_FRAMES]; ///< MFNs
    alignas(64) uint32_t host_leases;         ///< vmm -> nucleus: not 0 while any grant is in use by the host
};

struct Mailbox {
    alignas(64) PortBitmap to_vmm;
    alignas(64) PortBitmap to_nucleus;
    alignas(64) RequestBlock request;
    alignas(64) Counters counters;
    alignas(64) GrantInfo grants;
    alignas(64) uint32_t port_rows; ///< nucleus -> vmm: the guest has opened no port from port_rows * PORT_ROW on
};

} // namespace parapet::doorbell
