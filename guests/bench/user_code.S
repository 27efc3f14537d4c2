// SPDX-License-Identifier: Apache-2.0
// Code that bench runs in user mode, and its page-fault handler.

    .text

// rdi: how many system calls.
    .globl user_syscalls, user_syscalls_end
user_syscalls:
    movq %rdi, %rbx
0:  xorl %eax, %eax
    syscall
    decq %rbx
    jnz 0b
    movq $-1, %rax
    syscall
user_syscalls_end:

// rdi: how many faults, rsi: an address that faults.
    .globl user_faults, user_faults_end
user_faults:
0:  movb (%rsi), %al              // 2 bytes: skipped by the handler
    decq %rdi
    jnz 0b
    movq $-1, %rax
    syscall
user_faults_end:

// void kernel_faults(rdi = how many, rsi = an address that faults)
    .globl kernel_faults
kernel_faults:
0:  movb (%rsi), %al
    decq %rdi
    jnz 0b
    ret

// On the kernel stack: rcx, r11, error code, rip, …
    .globl skip_page_fault
skip_page_fault:
    popq %rcx
    popq %r11
    addq $8, %rsp
    addq $2, (%rsp)
    pushq $0
    jmp hypercall_page + 23 * 32  // iret

    .section .note.GNU-stack, "", @progbits
