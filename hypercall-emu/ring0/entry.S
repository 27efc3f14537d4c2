/* SPDX-License-Identifier: Apache-2.0
 *
 * Entry and exit of the nucleus, home ring0: the core is called straight from here.
 *
 *   interrupt or exception at ring 3
 *     1. the processor switches to the vCPU's entry stack (TSS.RSP0) and pushes ss rsp rflags cs rip [error]
 *     2. the vector's stub pushes [error 0 and] the vector, save_and_enter pushes the rest of Regs
 *     3. on the core's stack, ring0_enter(vcpu) handles it and does the exit work
 *     4. return_to_guest pops Regs and leaves by iretq
 *   SYSCALL at ring 3
 *     1. the vCPU's own stub (in its area) stores rsp in Regs::rsp and points rsp at it
 *     2. syscall_entry pushes the frame that an exception would have; then as 3. and 4. above
 *   interrupt or exception at ring 0
 *     an interrupt while idle, a fault with a fix-up, or a bug: ring0_nested() decides; it may change the frame's rip
 *   fault of the iretq itself (the guest's selectors or rip): becomes vector FAILSAFE of the guest's frame
 *
 * Interrupts are off throughout, but for the one `sti; hlt` of wait_for_interrupt().
 */
#include "hypercall-emu/ring0/asm_offsets.hpp"

    .section .head, "ax", @progbits
    .globl image_header
image_header:
    .quad 0x7375656c63754e50
    .quad __text_end
    .quad __file_end
    .quad __image_end
    .quad vector_stubs
    .quad boot_entry
    .quad syscall_entry
    .quad syscall32_entry

    .text

/* Vectors with an error code: 8, 10-14, 17, 21, 29, 30. */
    .balign 16
    .globl vector_stubs
vector_stubs:
    .set number, 0
    .rept 256
    .balign 16
    .if number == 8 || (number >= 10 && number <= 14) || number == 17 || number == 21 || number == 29 || number == 30
    .else
    pushq $0
    .endif
    pushq $number
    jmp vector_common
    .set number, number + 1
    .endr

    .balign 16
vector_common:
    testb $3, 24(%rsp)              /* cs of the frame: from ring 3? */
    jz from_ring0
save_and_enter:
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    andq $AREA_MASK, %rdi           /* rdi: vcpu */
    leaq AREA_CORE_STACK_TOP(%rdi), %rsp
    movq %rdi, %rbx
    call ring0_enter
return_to_guest:                    /* rbx: vcpu */
    leaq (AREA_ENTRY_TOP - REGS_SIZE)(%rbx), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    addq $16, %rsp
guest_iretq:
    iretq

    .balign 16
    .globl syscall_entry
syscall_entry:                      /* rsp: &Regs::rsp */
    movq $SEL_USER_SS, 8(%rsp)
    pushq %r11
    pushq $SEL_USER_CS
    pushq %rcx
    pushq $0
    pushq $VECTOR_SYSCALL
    jmp save_and_enter

    .balign 16
    .globl syscall32_entry
syscall32_entry:
    movq $SEL_USER_SS, 8(%rsp)
    pushq %r11
    pushq $SEL_USER_CS32
    pushq %rcx
    pushq $0
    pushq $VECTOR_SYSCALL32
    jmp save_and_enter

    .globl boot_entry
boot_entry:                         /* rdi: vcpu; rsp: the core's stack */
    movq %rdi, %rbx
    call ring0_start
    jmp return_to_guest

/* At ring 0. The frame: vector, error, rip, cs, rflags, rsp, ss. */
    .balign 16
from_ring0:
    pushq %rax
    leaq guest_iretq(%rip), %rax
    cmpq %rax, 24(%rsp)
    jne nested
    /* The frame to be returned was refused. It still lies at the end of the entry stack, and all general registers are
       the guest's again: enter as if the guest had faulted. */
    popq %rax
    orq $0xfff, %rsp
    leaq -39(%rsp), %rsp
    pushq $0
    pushq $VECTOR_FAILSAFE
    jmp save_and_enter

nested:
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    cld
    movq %rsp, %rbx
    leaq 80(%rsp), %rdi             /* &vector */
    movq %rsp, %rsi
    andq $AREA_MASK, %rsi           /* every nucleus stack lies in the vCPU's area */
    andq $-16, %rsp
    call ring0_nested
    movq %rbx, %rsp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rax
    addq $16, %rsp
    iretq

/* void ring0_load_gs(u32 selector): the guest kernel's GS is active here; its user GS is the other one. */
    .globl ring0_load_gs
ring0_load_gs:
    swapgs
    .globl ring0_load_gs_fault
ring0_load_gs_fault:
    movl %edi, %gs
    mfence
    swapgs
    ret
    .globl ring0_load_gs_fixup
ring0_load_gs_fixup:
    xorl %edi, %edi
    movl %edi, %gs
    mfence
    swapgs
    ret

    .section .note.GNU-stack, "", @progbits
