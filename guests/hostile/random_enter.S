// SPDX-License-Identifier: Apache-2.0
// Into user mode with all registers given, and out by any system call (random_code.cpp).

#define HYPERVISOR_IRET 23
#define FLAT_SS 0xe02b

    .text

// uint64_t random_enter(const Registers* = rdi): rax rbx rcx rdx rsi rdi rbp r8-r15, then rip cs rflags rsp ss. Comes back by
// user_leave() with its argument.
    .globl random_enter
random_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, user_saved_rsp(%rip)
    movl $FLAT_SS, %eax             // for 32-bit code; the last round may have left anything
    movl %eax, %ds
    movl %eax, %es
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    pushq 152(%rdi)
    pushq 144(%rdi)
    pushq 136(%rdi)
    pushq 128(%rdi)
    pushq 120(%rdi)
    pushq $0
    movq (%rdi), %rax
    movq 8(%rdi), %rbx
    movq 16(%rdi), %rcx
    movq 24(%rdi), %rdx
    movq 32(%rdi), %rsi
    movq 48(%rdi), %rbp
    movq 56(%rdi), %r8
    movq 64(%rdi), %r9
    movq 72(%rdi), %r10
    movq 80(%rdi), %r11
    movq 88(%rdi), %r12
    movq 96(%rdi), %r13
    movq 104(%rdi), %r14
    movq 112(%rdi), %r15
    movq 40(%rdi), %rdi
    jmp hypercall_page + HYPERVISOR_IRET * 32

// The kernel's entry for SYSCALL, of 64-bit or compatibility code, and SYSENTER.
    .globl random_entry
random_entry:
    movq 24(%rsp), %rsi
    movq 32(%rsp), %rdx
    movq 16(%rsp), %rcx
    movl $0xca11, %edi
    jmp random_left

    .section .note.GNU-stack, "", @progbits
