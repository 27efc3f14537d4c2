// SPDX-License-Identifier: Apache-2.0
// Into user mode by the iret hypercall, and out by the system call callback.

#define HYPERVISOR_IRET 23
#define VGCF_IN_SYSCALL 0x100
#define FLAT_USER_CS 0xe033
#define FLAT_USER_CS32 0xe023
#define FLAT_USER_SS 0xe02b

    .text

// uint64_t user_enter(rip = rdi, rsp = rsi, user rdi = rdx, user rsi = rcx)
// user_enter32: the same to compatibility code
    .globl user_enter, user_enter32
user_enter32:
    movl $FLAT_USER_CS32, %r8d
    jmp 1f
user_enter:
    movl $FLAT_USER_CS, %r8d
1:  pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, user_saved_rsp(%rip)
    pushq $FLAT_USER_SS
    pushq %rsi
    pushq user_rflags(%rip)
    pushq %r8
    pushq %rdi
    pushq $0
    movq %rdx, %rdi
    movq %rcx, %rsi
    jmp hypercall_page + HYPERVISOR_IRET * 32

// On the kernel stack: rcx, r11, rip, cs, rflags, rsp, ss. rax < 0 leaves with rdi; anything else returns at once.
    .globl user_syscall_entry
user_syscall_entry:
    testq %rax, %rax
    js user_leave_stub
    popq %rcx
    popq %r11
    pushq $VGCF_IN_SYSCALL
    jmp hypercall_page + HYPERVISOR_IRET * 32

// [[noreturn]] void user_leave_stub(result = rdi)
    .globl user_leave_stub
user_leave_stub:
    cld
    movq user_saved_rsp(%rip), %rsp
    movq %rdi, %rax
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .data
    .balign 8
    .globl user_rflags
user_rflags:                      // what user mode starts with: IF
    .quad 0x202

    .section .bss
    .balign 8
    .globl user_saved_rsp
user_saved_rsp:
    .skip 8

    .section .note.GNU-stack, "", @progbits
