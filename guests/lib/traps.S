// SPDX-License-Identifier: Apache-2.0
// Entry stubs. The hypervisor leaves on the kernel's stack, lowest address first:
//   rcx, r11, [error code], rip, cs, rflags, rsp, ss          exceptions, events, system calls
//   rcx, r11, ds, es, fs, gs, rip, cs, rflags, rsp, ss        the failsafe callback
// All become the TrapFrame of traps.hpp and leave through the iret hypercall, whose slot of the hypercall page takes
//   flags, rip, cs, rflags, rsp, ss                           and rax, rcx, r11 in registers.

#define TRAP_STUB_SIZE 32
#define HYPERVISOR_IRET 23

    .text

.macro stub_without_code vector:req
    popq %rcx
    popq %r11
    pushq $0
    pushq $\vector
    jmp trap_common
.endm

.macro stub_with_code vector:req
    popq %rcx
    popq %r11
    pushq $\vector
    jmp trap_common
.endm

    .balign TRAP_STUB_SIZE
    .globl trap_stubs
trap_stubs:
    .irp vector, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .balign TRAP_STUB_SIZE
    .if \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21
        stub_with_code \vector
    .else
        stub_without_code \vector
    .endif
    .endr

    .balign TRAP_STUB_SIZE
    .globl trap_stub_int80
trap_stub_int80:
    stub_without_code 0x80

    .balign TRAP_STUB_SIZE
    .globl trap_stub_event
trap_stub_event:
    stub_without_code 256

    .balign TRAP_STUB_SIZE
    .globl trap_stub_syscall
trap_stub_syscall:
    stub_without_code 258

    .balign TRAP_STUB_SIZE
    .globl trap_stub_syscall32
trap_stub_syscall32:
    stub_without_code 259

    .balign TRAP_STUB_SIZE
    .globl trap_stub_sysenter
trap_stub_sysenter:
    stub_without_code 260

    .balign TRAP_STUB_SIZE
    .globl trap_stub_failsafe
trap_stub_failsafe:
    popq %rcx
    popq %r11
    addq $32, %rsp                // the segment registers that could not be loaded
    pushq $0
    pushq $257
    jmp trap_common

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    call trap_dispatch
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp                // vector, error code
    pushq $0                      // flags: no VGCF
    jmp hypercall_page + HYPERVISOR_IRET * 32

// void guarded_call(body = rdi, argument = rsi, saved_rsp = rdx)
    .globl guarded_call, guarded_call_end
guarded_call:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdx)
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax
guarded_call_end:                 // also reached from a handler, with the saved rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .section .note.GNU-stack, "", @progbits
