// SPDX-License-Identifier: Apache-2.0
// Offsets and constants that the entry assembly uses. As macros for entry.S; held against the structures below.
#pragma once

#define OFF_REGS 0
#define OFF_CR2 8
#define OFF_CR3 16
#define OFF_KERNEL_CR3 24
#define OFF_USER_CR3 32
#define OFF_KERNEL_SP 40
#define OFF_SYSCALL_ENTRY 56
#define OFF_WORK_FLAGS 64
#define OFF_WORK_NR_MSRS 68
#define OFF_WORK_MSRS 72
#define MSR_WRITE_SIZE 16
#define OFF_KERNEL_MODE 184
#define OFF_SYSCALL_MASKS 185
#define OFF_FAULT_SAMPLES 186
#define OFF_SYSCALLS 192
#define OFF_SYSCALL_STUB 200
#define OFF_PAGE_FAULT_ADDRESS 208
#define OFF_PAGE_FAULT_FLAGS 218
#define OFF_INFO 224

#define INFO_PENDING 0
#define INFO_MASK 1
#define INFO_CR2 16

#define IRET_RAX 0
#define IRET_R11 8
#define IRET_RCX 16
#define IRET_RIP 32
#define IRET_CS 40
#define IRET_RFLAGS 48
#define IRET_RSP 56
#define IRET_SS 64

#define HYPERCALL_IRET 23
/* Flags that a guest may not set or clear by iret: IOPL, VM, VIF, VIP; those that are always set: IF, bit 1. */
#define RFLAGS_DENIED 0x1a3000
#define RFLAGS_ALWAYS 0x202
/* What a program may set in its flags by popf: CF, PF, AF, ZF, SF, TF, DF, OF, NT, AC, ID. */
#define RFLAGS_PROGRAM 0x244dd5
/* Cleared when the guest kernel is entered: TF, IOPL, NT, RF, VM, AC, VIF, VIP. */
#define RFLAGS_ENTRY_CLEARS 0x1f7100

#define REG_RAX 80
#define REG_RCX 88
#define REG_RDX 96
#define REG_R11 48
#define REG_VECTOR 120
#define REG_ERROR 128
#define REG_RIP 136
#define REG_CS 144
#define REG_RFLAGS 152
#define REG_RSP 160
#define REG_SS 168
#define REGS_SIZE 176

#define AREA_MASK -65536
#define AREA_CORE_STACK_TOP 0x8000
#define AREA_ENTRY_TOP 0x1000
#define AREA_FAULT_TOP 0xd000

#define WORK_SWAPGS 8
#define WORK_WRITE_MSR 16

/* Home ring3: struct Control at AREA_CONTROL. */
#define AREA_CONTROL_OFFSET 0x300
#define AREA_REGS_OFFSET 0x400
#define CONTROL_LEAVING (AREA_CONTROL_OFFSET + 0)
#define CONTROL_BUSY (AREA_CONTROL_OFFSET + 1)
#define CONTROL_ZERO (AREA_CONTROL_OFFSET + 2)
#define CONTROL_CORE_CR3 (AREA_CONTROL_OFFSET + 8)
#define CONTROL_ENTRY_FRAME (AREA_CONTROL_OFFSET + 16)
#define CONTROL_WAKE_FRAME (AREA_CONTROL_OFFSET + 56)
#define LEAVING_TO_GUEST 1
#define LEAVING_FOR_CALL 2

/* Upper halves of addresses: of the core's code, and of the system-call gate. */
#define NUCLEUS_HIGH 0xffff8200
#define GATE_HIGH 0xffff8380
#define AREA_GATE_OFFSET 0xa000
#define CONTROL_GATE_FRAME (AREA_CONTROL_OFFSET + 96)
#define CONTROL_CALL_FRAME (AREA_CONTROL_OFFSET + 136)
#define CONTROL_FAULT_FRAME (AREA_CONTROL_OFFSET + 176)
#define GATE_TARGET 0
#define HARDWARE_FRAME (AREA_ENTRY_TOP - 40)

/* Of every vCPU's SYSCALL stubs. */
#define SYSCALL_STUBS_SIZE 2048

#define VECTOR_SYSCALL 0x100
#define VECTOR_FAILSAFE 0x102
#define VECTOR_SYSCALL32 0x104
#define VECTOR_SYSENTER 0x106

#define SEL_USER_CS32 0xe023
#define SEL_USER_SS 0xe02b
#define SEL_USER_CS 0xe033

#ifndef __ASSEMBLER__
#include "hypercall-emu/core/vcpu.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/doorbell.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/nucleus_image.hpp"

namespace parapet::nucleus {
static_assert(offsetof(Vcpu, regs) == OFF_REGS);
static_assert(offsetof(Vcpu, cr2) == OFF_CR2);
static_assert(offsetof(Vcpu, cr3) == OFF_CR3);
static_assert(offsetof(Vcpu, kernel_cr3) == OFF_KERNEL_CR3);
static_assert(offsetof(Vcpu, user_cr3) == OFF_USER_CR3);
static_assert(offsetof(Vcpu, kernel_sp) == OFF_KERNEL_SP);
static_assert(offsetof(Vcpu, entry_info) == OFF_INFO);
static_assert(offsetof(Vcpu, syscall_entry) == OFF_SYSCALL_ENTRY);
static_assert(offsetof(Vcpu, kernel_mode) == OFF_KERNEL_MODE);
static_assert(offsetof(Vcpu, syscall_masks_events) == OFF_SYSCALL_MASKS);
static_assert(offsetof(Vcpu, fault_samples) == OFF_FAULT_SAMPLES);
static_assert(offsetof(Vcpu, syscalls) == OFF_SYSCALLS);
static_assert(offsetof(Vcpu, syscall_stub) == OFF_SYSCALL_STUB);
static_assert(offsetof(Vcpu, page_fault) + offsetof(TrapHandler, address) == OFF_PAGE_FAULT_ADDRESS);
static_assert(offsetof(Vcpu, page_fault) + offsetof(TrapHandler, flags) == OFF_PAGE_FAULT_FLAGS);
static_assert(offsetof(Vcpu, first_page) == doorbell::AREA_TSS && offsetof(Vcpu, traps) == doorbell::AREA_ENTRY_END);
static_assert(offsetof(abi::vcpu_info64, evtchn_upcall_pending) == INFO_PENDING);
static_assert(offsetof(abi::vcpu_info64, evtchn_upcall_mask) == INFO_MASK);
static_assert(offsetof(abi::vcpu_info64, arch) + offsetof(abi::arch_vcpu_info64, cr2) == INFO_CR2);
static_assert(offsetof(abi::iret_context, rax) == IRET_RAX && offsetof(abi::iret_context, r11) == IRET_R11);
static_assert(offsetof(abi::iret_context, rcx) == IRET_RCX && offsetof(abi::iret_context, rip) == IRET_RIP);
static_assert(offsetof(abi::iret_context, cs) == IRET_CS && offsetof(abi::iret_context, rflags) == IRET_RFLAGS);
static_assert(offsetof(abi::iret_context, rsp) == IRET_RSP && offsetof(abi::iret_context, ss) == IRET_SS);
static_assert(abi::HYPERVISOR_iret == HYPERCALL_IRET);
static_assert((rflags::IOPL | rflags::VM | rflags::VIF | rflags::VIP) == RFLAGS_DENIED);
static_assert((rflags::TF | rflags::IOPL | rflags::NT | rflags::RF | rflags::VM | rflags::AC | rflags::VIF |
               rflags::VIP) == RFLAGS_ENTRY_CLEARS);
static_assert((rflags::IF | rflags::FIXED) == RFLAGS_ALWAYS);
static_assert(rflags::PROGRAM == RFLAGS_PROGRAM);
static_assert(offsetof(Vcpu, work) + offsetof(ExitWork, flags) == OFF_WORK_FLAGS);
static_assert(offsetof(Vcpu, work) + offsetof(ExitWork, nr_msrs) == OFF_WORK_NR_MSRS);
static_assert(offsetof(Vcpu, work) + offsetof(ExitWork, msrs) == OFF_WORK_MSRS);
static_assert(sizeof(ExitWork::MsrWrite) == MSR_WRITE_SIZE && offsetof(ExitWork::MsrWrite, value) == 8);
static_assert(ExitWork::SWAPGS == WORK_SWAPGS && ExitWork::WRITE_MSR == WORK_WRITE_MSR);
static_assert(doorbell::AREA_CONTROL == AREA_CONTROL_OFFSET && doorbell::AREA_REGS == AREA_REGS_OFFSET);
static_assert(offsetof(Regs, rax) == REG_RAX);
static_assert(offsetof(Regs, rcx) == REG_RCX);
static_assert(offsetof(Regs, rdx) == REG_RDX);
static_assert(offsetof(Regs, r11) == REG_R11);
static_assert(offsetof(Regs, vector) == REG_VECTOR);
static_assert(offsetof(Regs, error) == REG_ERROR);
static_assert(offsetof(Regs, rip) == REG_RIP);
static_assert(offsetof(Regs, cs) == REG_CS);
static_assert(offsetof(Regs, rflags) == REG_RFLAGS);
static_assert(offsetof(Regs, rsp) == REG_RSP);
static_assert(offsetof(Regs, ss) == REG_SS);
static_assert(sizeof(Regs) == REGS_SIZE);
static_assert(doorbell::NUCLEUS_VA >> 32 == NUCLEUS_HIGH && doorbell::GATE_VA >> 32 == GATE_HIGH);
static_assert(doorbell::AREA_GATE == AREA_GATE_OFFSET);
static_assert(doorbell::VCPU_AREA_SIZE % static_cast<u64>(-(AREA_MASK)) == 0);
static_assert(doorbell::AREA_END <= static_cast<u64>(-(AREA_MASK)));
static_assert(doorbell::AREA_CORE_STACK_END == AREA_CORE_STACK_TOP);
static_assert(doorbell::AREA_ENTRY_END == AREA_ENTRY_TOP);
static_assert(doorbell::AREA_FAULT_END == AREA_FAULT_TOP);
static_assert(doorbell::AREA_TSS + 0x68 <= doorbell::AREA_PV_EOI);
static_assert(doorbell::AREA_PV_EOI + sizeof(u32) <= doorbell::AREA_CONTROL);
// Regs of home ring3, and below the end room for the frame of one exception and what handles it (ring0_nested).
static_assert(doorbell::AREA_REGS + sizeof(Regs) + 2048 <= doorbell::AREA_ENTRY_END);
static_assert(doorbell::MAX_VCPUS * doorbell::SYSCALL_STUB_SIZE == SYSCALL_STUBS_SIZE);
static_assert(sizeof(Vcpu) <= doorbell::AREA_CORE_STACK);
static_assert(vector::SYSCALL == VECTOR_SYSCALL && vector::FAILSAFE == VECTOR_FAILSAFE &&
              vector::SYSCALL32 == VECTOR_SYSCALL32 && vector::SYSENTER == VECTOR_SYSENTER);
static_assert(abi::x64::FLAT_KERNEL_CS == SEL_USER_CS && abi::x64::FLAT_KERNEL_SS == SEL_USER_SS);
} // namespace parapet::nucleus
#endif
