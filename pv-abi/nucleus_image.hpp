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
};

inline constexpr uint64_t STUB_SIZE = 16;

// ---- One vCPU's area (doorbell.hpp: VCPU_AREA_VA, VCPU_AREA_SIZE), offsets from its start ----

inline constexpr uint64_t AREA_VCPU = 0x0000;       ///< nucleus::Vcpu
inline constexpr uint64_t AREA_CORE_STACK = 0x4000; ///< grows down from its end
inline constexpr uint64_t AREA_CORE_STACK_END = 0x8000;
inline constexpr uint64_t AREA_GDT = 0x8000; ///< the nucleus's page of the GDT window, descriptors from 0xe000 on
inline constexpr uint64_t AREA_TSS = 0x9000;
inline constexpr uint64_t AREA_PV_EOI =
    0x9800; ///< uint32_t: KVM's PV EOI word (Linux, Documentation/virt/kvm/x86/msr.rst)
inline constexpr uint64_t AREA_IST_END = 0xb000; ///< stack of the double fault, one page
inline constexpr uint64_t AREA_ENTRY_END =
    0xc000; ///< stack of entries from ring 3 (TSS.RSP0), one page; Regs at its end
/// Home ring3 keeps its control words and the guest's Regs at the start of the entry stack's page.
inline constexpr uint64_t AREA_CONTROL = 0xb000;
inline constexpr uint64_t AREA_REGS = 0xb100;
inline constexpr uint64_t AREA_SYSCALL_STUB = 0xc000;   ///< LSTAR: a few instructions that find this area (executable)
inline constexpr uint64_t AREA_SYSCALL32_STUB = 0xc020; ///< CSTAR
inline constexpr uint64_t AREA_GATE = 0xd000;           ///< data of the vCPU's system-call gate
inline constexpr uint64_t AREA_NMI_END = 0xe800;        ///< stack of NMI and machine check
inline constexpr uint64_t AREA_DEBUG_END = 0xf000; ///< stack of #DB: one may arrive before SYSCALL's stub has a stack
inline constexpr uint64_t AREA_END = 0xf000;       ///< of the area's own frames
/// Windows in which the frames of the guest's descriptor tables are mapped.
inline constexpr uint64_t AREA_GDT_WINDOW = 0x10000; ///< 14 guest pages, then two of the nucleus
inline constexpr uint64_t AREA_LDT_WINDOW = 0x20000;
inline constexpr uint64_t AREA_WINDOWS_END = 0x30000;

// Selectors of the nucleus, in the GDT page above.
inline constexpr uint16_t NUCLEUS_CS = 0xe008;
inline constexpr uint16_t NUCLEUS_DS = 0xe010;
inline constexpr uint16_t NUCLEUS_TSS = 0xe040;
inline constexpr uint16_t NUCLEUS_LDT = 0xe050;

} // namespace parapet::doorbell
