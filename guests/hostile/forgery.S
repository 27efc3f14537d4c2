// SPDX-License-Identifier: Apache-2.0
// A program that jumps somewhere with registers of its own making, and the guest kernel's entry that looks at what came.
// trampoline_forgery.cpp says why.

#define RETURN_AND_SPIN 7

    .text

// Jumps to rdi with rcx, r11, rflags, rsp and rax from the four words at rsi; rbx marks where a forged rip may go on.
    .globl user_forge, user_forge_end
user_forge:
    movq (%rsi), %rcx
    movq 8(%rsi), %r11
    movq 24(%rsi), %rsp
    movq 32(%rsi), %rax
    pushq 16(%rsi)
    movq 24(%rsi), %r8
    popfq
    jmp *%rdi
user_forge_end:

// As above, with rcx behind the jump: spins rdx of the time-stamp counter's ticks there, then leaves with 0x600d.
    .globl user_forge_spin, user_forge_spin_end
user_forge_spin:
    movq 40(%rsi), %r12
    leaq 2f(%rip), %rcx
    movq 8(%rsi), %r11
    movl $RETURN_AND_SPIN, %eax
    jmp *%rdi
2:  rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    addq %rax, %r12
1:  rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    cmpq %r12, %rax
    jb 1b
    movq $0x600d, %rdi
    movq $-1, %rax
    syscall
    ud2
user_forge_spin_end:

// The kernel's system-call entry: rcx, r11, rip, cs, rflags, rsp, ss on its stack. Keeps them, then goes back to user mode
// with the very frame (rax RETURN_AND_SPIN) or leaves with 0xca11.
    .globl forgery_entry
forgery_entry:
    testq %rax, %rax
    js 1f
    movq 16(%rsp), %r8
    movq %r8, forgery_frame(%rip)
    movq 24(%rsp), %r8
    movq %r8, forgery_frame + 8(%rip)
    movq 32(%rsp), %r8
    movq %r8, forgery_frame + 16(%rip)
    movq 40(%rsp), %r8
    movq %r8, forgery_frame + 24(%rip)
    movq 48(%rsp), %r8
    movq %r8, forgery_frame + 32(%rip)
    pushfq
    popq forgery_frame + 40(%rip)
    incq forgery_frame + 48(%rip)
    cmpl $RETURN_AND_SPIN, %eax
    jne 2f
    popq %rcx
    popq %r11
    pushq $0x100
    jmp hypercall_page + 23 * 32
2:  movl $0xca11, %edi
1:  jmp user_leave_stub

    .section .note.GNU-stack, "", @progbits
