// SPDX-License-Identifier: Apache-2.0
// The nucleus as a flat image, and the per-vCPU area around it: what the vmm must know to lay them out.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace parapet::doorbell {

inline constexpr uint64_t IMAGE_MAGIC = 0x7375656c63754e50ULL;

/// First bytes of an image (section .head of its entry.S). All are virtual addresses.
struct ImageHeader {
    uint64_t magic;
    uint64_t text_end; ///< [NUCLEUS_VA, text_end): read and execute
    uint64_t file_end; ///< [text_end, file_end): data; [file_end, image_end): zeroes
    uint64_t image_end;
    uint64_t vector_stubs;    ///< 256 stubs of STUB_SIZE bytes
    uint64_t boot_entry;      ///< first instruction of vCPU 0; rdi: its area
    uint64_t syscall_entry;   ///< rsp: &Regs::rsp, which holds the caller's; rcx, r11 as SYSCALL leaves them
    uint64_t syscall32_entry; ///< the same for compatibility code
    uint64_t gate_text;       ///< page of the system-call gate (home ring3), 0: none
    uint64_t divide_entry;    ///< where vectors 0, 3 and 14 go instead of to their stubs, 0: to the stub
    uint64_t breakpoint_entry;
    uint64_t page_fault_entry;
    uint64_t syscall_stubs;  ///< room for MAX_VCPUS times SYSCALL_STUB_SIZE, to be written by the vmm (LSTAR, CSTAR)
    uint64_t sysenter_entry; ///< rsp: the end of the vCPU's entry stack; for all vCPUs
    uint64_t fault_stack_vectors; ///< bit v: exception v gets the stack that ends at AREA_FAULT_END
};

inline constexpr uint64_t STUB_SIZE = 16;

inline constexpr uint64_t SYSCALL_STUB_SIZE = 64;     ///< of a vCPU's SYSCALL stubs
inline constexpr uint64_t SYSCALL32_STUB_OFFSET = 32; ///< CSTAR's among them, after LSTAR's

// ---- One vCPU's area (doorbell.hpp: VCPU_AREA_VA, VCPU_AREA_SIZE), offsets from its start ----
//
// The first page has all that the hottest entries read and write: the head of Vcpu, the TSS, the entry stack.

inline constexpr uint64_t AREA_VCPU = 0x0000; ///< nucleus::Vcpu, which leaves room for all up to AREA_ENTRY_END
inline constexpr uint64_t AREA_TSS = 0x200;
inline constexpr uint64_t AREA_PV_EOI =
    0x280; ///< uint32_t: KVM's PV EOI word (Linux, Documentation/virt/kvm/x86/msr.rst)
inline constexpr uint64_t AREA_CONTROL = 0x300; ///< home ring3: its control words
inline constexpr uint64_t AREA_REGS = 0x400;    ///< home ring3: the guest's Regs
inline constexpr uint64_t AREA_ENTRY_END =
    0x1000; ///< stack of entries from ring 3 (TSS.RSP0); home ring0: Regs at its end
inline constexpr uint64_t AREA_CORE_STACK = 0x4000; ///< grows down from its end
inline constexpr uint64_t AREA_CORE_STACK_END = 0x8000;
inline constexpr uint64_t AREA_GDT = 0x8000;       ///< the nucleus's page of the GDT window, descriptors from 0xe000 on
inline constexpr uint64_t AREA_IST_END = 0xa000;   ///< stack of the double fault, one page
inline constexpr uint64_t AREA_GATE = 0xa000;      ///< data of the vCPU's system-call gate
inline constexpr uint64_t AREA_NMI_END = 0xb800;   ///< stack of NMI and machine check
inline constexpr uint64_t AREA_DEBUG_END = 0xc000; ///< stack of #DB: one may arrive before SYSCALL's stub has a stack
inline constexpr uint64_t AREA_FAULT_END = 0xd000; ///< stack of ImageHeader::fault_stack_vectors, one page
inline constexpr uint64_t AREA_END = 0xd000;       ///< of the area's own frames
/// Windows in which the frames of the guest's descriptor tables are mapped.
inline constexpr uint64_t AREA_GDT_WINDOW = 0x10000; ///< 14 guest pages, then two of the nucleus
inline constexpr uint64_t AREA_LDT_WINDOW = 0x20000;
inline constexpr uint64_t AREA_WINDOWS_END = 0x30000;
inline constexpr uint64_t AREA_INFO = 0x30000; ///< window of one page: the frame with the vCPU's vcpu_info

// Selectors of the nucleus, in the GDT page above.
inline constexpr uint16_t NUCLEUS_CS = 0xe008;
inline constexpr uint16_t NUCLEUS_DS = 0xe010;
inline constexpr uint16_t NUCLEUS_TSS = 0xe040;
inline constexpr uint16_t NUCLEUS_LDT = 0xe050;

} // namespace parapet::doorbell
