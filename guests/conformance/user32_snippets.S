// SPDX-License-Identifier: Apache-2.0
// Pieces of 32-bit user code for the conformance guest user32. Each raises one trap, whose handler ends it; the label
// NAME_at is at the instruction that does, NAME_next behind it.

    .text
    .code32

.macro piece32 name:req instruction:vararg
    .globl \name\()_at, \name\()_next, \name\()_end
\name\()_at:
    \instruction
\name\()_next:
    ud2
\name\()_end:
.endm

.macro begin32 name:req
    .globl \name
\name:
.endm

begin32 user32_syscall
    movl $0x1b, %ebx
    movl $0x77, %ebp
    movl $0x1234, %eax
    std
piece32 user32_syscall, syscall

begin32 user32_sysenter
    movl $0x1b, %ebx
    movl $0x1234, %eax
piece32 user32_sysenter, sysenter

// With NT set, which no return by the processor itself would take.
begin32 user32_sysenter_nt
    pushfl
    orl $0x4000, (%esp)
    popfl
piece32 user32_sysenter_nt, sysenter

begin32 user32_int80
    movl $0x1234, %eax
piece32 user32_int80, int $0x80

begin32 user32_int14
piece32 user32_int14, int $14

begin32 user32_divide
    xorl %edx, %edx
    xorl %ecx, %ecx
piece32 user32_divide, divl %ecx

begin32 user32_int3
piece32 user32_int3, int3

begin32 user32_into
    movb $0x7f, %al
    addb $1, %al
piece32 user32_into, into

begin32 user32_bound
    movl $9, %eax
    movl $0, (%edi)
    movl $5, 4(%edi)
piece32 user32_bound, .byte 0x62, 0x07           /* bound (%edi), %eax, which clang does not assemble */

begin32 user32_ud2
piece32 user32_ud2, ud2

begin32 user32_hlt
piece32 user32_hlt, hlt

begin32 user32_selector
    movl $0x7fb, %eax
piece32 user32_selector, movl %eax, %es

begin32 user32_read
piece32 user32_read, movl (%edi), %eax

begin32 user32_write
piece32 user32_write, movl %eax, (%edi)

begin32 user32_port
piece32 user32_port, inb $0x80, %al

begin32 user32_step
    pushfl
    orl $0x100, (%esp)
    popfl
piece32 user32_step, nop

    .section .note.GNU-stack, "", @progbits
