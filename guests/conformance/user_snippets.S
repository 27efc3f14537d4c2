// SPDX-License-Identifier: Apache-2.0
// Pieces of user-mode code for the conformance guests. Each ends with a system call of negative rax and its result in rdi.

    .text

.macro snippet name:req
    .globl \name, \name\()_end
\name:
.endm

.macro leave_with_rdi name:req
    movq $-1, %rax
    syscall
    ud2
\name\()_end:
.endm

// rdi -> rdi + 1
snippet user_add_one
    incq %rdi
leave_with_rdi user_add_one

// One system call with marked registers; rdi: 0 when all came back, or a bit for each that did not.
snippet user_syscall_registers
    movq $0x1b, %rbx
    movq $0x1d, %rdx
    movq $0x15, %rsi
    movq $0x18, %r8
    movq $0x1f, %r15
    movq $0x77, %rbp
    movq %rsp, %r14
    xorl %edi, %edi
    movl $7, %eax
    syscall
0:  leaq 0b(%rip), %r13
    cmpq %rcx, %r13               // syscall leaves the return address in rcx
    je 1f
    orq $1, %rdi
1:  cmpq %rsp, %r14
    je 1f
    orq $2, %rdi
1:  cmpq $0x1b, %rbx
    je 1f
    orq $4, %rdi
1:  cmpq $0x1f, %r15
    je 1f
    orq $8, %rdi
1:  cmpq $0x15, %rsi
    je 1f
    orq $16, %rdi
1:  cmpq $0x77, %rbp
    je 1f
    orq $32, %rdi
1:
leave_with_rdi user_syscall_registers

// Reads the address in rdi; skipping the fault gives rdi = 0x5ca1ab1e.
snippet user_read
    movq (%rdi), %rsi             // 3 bytes
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_read

// Writes to the address in rdi.
snippet user_write
    movq %rsi, (%rdi)             // 3 bytes
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_write

snippet user_ud2
    ud2
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_ud2

snippet user_int3
    int3
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_int3

snippet user_int80
    movl $0x1234, %eax
    int $0x80
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_int80

// Through a gate that user mode may not use.
snippet user_int14
    int $14
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_int14

snippet user_cli
    cli
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_cli

// Reads a port.
snippet user_port
    inb $0x80, %al
    movq $0x5ca1ab1e, %rdi
leave_with_rdi user_port

// The word at fs:0 is wanted to be rsi, that at gs:0 not to fault when rdi is not 0.
snippet user_fs_read
    movq %fs:0, %rdi
leave_with_rdi user_fs_read

snippet user_gs_read
    movq %gs:0, %rdi
leave_with_rdi user_gs_read

// Spins until the word at rdi is not 0.
snippet user_spin
0:  pause
    cmpq $0, (%rdi)
    je 0b
    movq (%rdi), %rdi
leave_with_rdi user_spin

// The FS base.
snippet user_read_fs_base
    rdfsbase %rdi
leave_with_rdi user_read_fs_base

// Sets the base to rdi; the one before.
snippet user_swap_fs_base
    rdfsbase %rsi
    wrfsbase %rdi
    movq %rsi, %rdi
leave_with_rdi user_swap_fs_base

snippet user_swap_gs_base
    rdgsbase %rsi
    wrgsbase %rdi
    movq %rsi, %rdi
leave_with_rdi user_swap_gs_base

// eax of leaf edi.
snippet user_cpuid
    movl %edi, %eax
    cpuid
    movl %eax, %edi
leave_with_rdi user_cpuid

snippet user_forced_cpuid
    movl %edi, %eax
    .byte 0x0f, 0x0b, 0x78, 0x65, 0x6e
    cpuid
    movl %eax, %edi
leave_with_rdi user_forced_cpuid

// The time-stamp counter.
snippet user_read_tsc
    rdtsc
    shlq $32, %rdx
    leaq (%rax,%rdx), %rdi
leave_with_rdi user_read_tsc

    .section .note.GNU-stack, "", @progbits
