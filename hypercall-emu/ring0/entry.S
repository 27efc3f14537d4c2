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
 *     1. the vCPU's own stub (syscall_stubs) stores rsp in Regs::rsp and points rsp at it
 *     2. syscall_entry pushes the frame that an exception would have; then as 3. and 4. above
 *   interrupt or exception at ring 0
 *     an interrupt while idle or in a window, a fault with a fix-up, or a bug: ring0_nested() decides; it may change the
 *     frame's rip
 *   fault of the iretq itself (the guest's selectors or rip): becomes vector FAILSAFE of the guest's frame
 *
 * The hottest three need no C++: a system call of guest user mode, a page fault that is the guest's own business, and
 * the iret hypercall. Each falls back to the core, with all registers as they were, when anything is out of the ordinary
 * (events masked or pending, a stack that faults, a selector or flag to look at). The frames they build and take are
 * drawn in core/traps.cpp.
 *
 * The entry stack is empty when ring 3 runs, so the vCPU's area lies at constant offsets from rsp: `at(x, depth)` is
 * area offset x when rsp is `depth` bytes below the end of the entry stack.
 *
 * Interrupts are off throughout, but for the `sti; hlt` of wait_for_interrupt() and the windows around what leaves to KVM
 * (privileged.hpp): on the core's stack, with nothing half done.
 */
#include "hypercall-emu/ring0/asm_offsets.hpp"
#include "hypercall-emu/ring0/shared_entry.inc"

#define at(x, depth) ((x) - AREA_ENTRY_TOP + (depth))(%rsp)

/* #UD, #NP, #SS, #GP: what a `sysretq` may raise, with the guest's rsp loaded already. */
#define FAULT_STACK_VECTORS (1 << 6 | 1 << 11 | 1 << 12 | 1 << 13)

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
    .quad 0
    .quad 0
    .quad 0
    .quad page_fault
    .quad syscall_stubs
    .quad sysenter_entry
    .quad FAULT_STACK_VECTORS

    room_for_syscall_stubs

/* The rest of Regs, below the vector; then the core's stack. rdi, rbx: vcpu. */
.macro save_registers
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
.endm

/* All general registers from Regs; rsp then points at its vector. rbx: vcpu. */
.macro restore_registers
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
.endm

    .text

/* Vectors with an error code: 8, 10-14, 17, 21, 29, 30. */
    .balign 16
    .globl vector_stubs
vector_stubs:
    .set number, 0
    .rept 256
    .balign 16
    .if number == 14
    jmp page_fault
    .elseif number == 1 || number == 2 || number == 18
    pushq $number
    jmp own_stack_common
    .else
    .if number == 8 || (number >= 10 && number <= 13) || number == 17 || number == 21 || number == 29 || number == 30
    .else
    pushq $0
    .endif
    pushq $number
    .if number == 6 || (number >= 11 && number <= 13) /* FAULT_STACK_VECTORS */
    jmp fault_stack_common
    .else
    jmp vector_common
    .endif
    .endif
    .set number, number + 1
    .endr


/* What follows shares the image's first page with the stubs. */
    .section .head, "ax", @progbits

    own_stack_entry save_and_enter

/* FAULT_STACK_VECTORS. From ring 3 they go on as the others do: their frame moves to the entry stack, a word at a time,
   both at constant offsets from rsp. */
    .balign 16
fault_stack_common:
    testb $3, 24(%rsp)
    jz from_ring0
    leaq (AREA_ENTRY_TOP - AREA_FAULT_TOP + 56)(%rsp), %rsp
    .rept 7                         /* ss rsp rflags cs rip error vector */
    pushq (AREA_FAULT_TOP - AREA_ENTRY_TOP - 8)(%rsp)
    .endr
    jmp save_and_enter

    .balign 16
vector_common:
    testb $3, 24(%rsp)              /* cs of the frame: from ring 3? */
    jz from_ring0
save_and_enter:
    save_registers
    call ring0_enter
return_to_guest:                    /* rbx: vcpu */
    restore_registers
    addq $16, %rsp
guest_iretq:
    iretq

/* SYSCALL. rsp: &Regs::rsp, which holds the caller's; rcx, r11: rip, rflags. Depth 16. */
    .balign 16
    .globl syscall_entry
syscall_entry:
    cmpb $0, at(OFF_KERNEL_MODE, 16)
    jne from_guest_kernel
    movq $SEL_USER_SS, 8(%rsp)
    pushq %r11
    pushq $SEL_USER_CS
    pushq %rcx                      /* depth 40: the frame to be shown to the guest kernel */
    movq at(OFF_INFO, 40), %rcx
    cmpb $0, INFO_MASK(%rcx)
    jne system_call_slow            /* user mode with events masked: the frame must say so */
    movb at(OFF_SYSCALL_MASKS, 40), %r11b
    movb %r11b, INFO_MASK(%rcx)
    movq at(OFF_KERNEL_CR3, 40), %rcx
    movq %rcx, %cr3
    swapgs
    movb $1, at(OFF_KERNEL_MODE, 40)
    movq at(OFF_KERNEL_SP, 40), %rcx /* 0 where the guest has none that is safe to write to */
system_call_stores:
    movq 32(%rsp), %r11
    movq %r11, -8(%rcx)             /* ss */
    movq 24(%rsp), %r11
    movq %r11, -16(%rcx)            /* rsp */
    movq 16(%rsp), %r11
    movq %r11, -24(%rcx)            /* rflags */
    movq $SEL_USER_CS, -32(%rcx)
    movq %r11, -48(%rcx)            /* r11 */
    movq (%rsp), %r11
    movq %r11, -40(%rcx)            /* rip */
    movq %r11, -56(%rcx)            /* rcx */
system_call_stores_end:
    incq at(OFF_SYSCALLS, 40)
    leaq -56(%rcx), %r11
    movq at(OFF_SYSCALL_ENTRY, 40), %rcx
    testq %rcx, %rcx
    jz system_call_undo
    movq %r11, %rsp
    movl $RFLAGS_ALWAYS, %r11d
system_call_return:
    sysretq

system_call_undo:                   /* a store faulted, or nobody to call: let the core see it from the start */
    movq at(OFF_USER_CR3, 40), %rcx
    movq %rcx, %cr3
    swapgs
    movb $0, at(OFF_KERNEL_MODE, 40)
    movq at(OFF_INFO, 40), %rcx
    movb $0, INFO_MASK(%rcx)
system_call_slow:
    movq (%rsp), %rcx
    movq 16(%rsp), %r11
    pushq $0
    pushq $VECTOR_SYSCALL
    jmp save_and_enter

from_guest_kernel:
    cmpl $HYPERCALL_IRET, %eax
    je fast_iret
hypercall:
    movq $SEL_USER_SS, 8(%rsp)
    pushq %r11
    pushq $SEL_USER_CS
    pushq %rcx
    pushq $0
    pushq $VECTOR_SYSCALL
    save_registers
    call ring0_hypercall
    testl %eax, %eax                /* nothing but to return to the instruction behind SYSCALL? */
    jz return_to_guest
    restore_registers
    movq 16(%rsp), %rcx
    movq 32(%rsp), %r11
    movq 40(%rsp), %rsp
    sysretq

/* The iret hypercall: rsp of the guest points at a struct iret_context. rax is free until it is loaded from there. */
fast_iret:                          /* depth 16 */
    movq %rcx, %rax                 /* for the slow way: where the hypercall came from */
    movq (%rsp), %rcx
    movq %rcx, %r11
    sarq $43, %r11
    cmpq $-16, %r11                 /* in the hole? */
    je iret_slow
    movq at(OFF_INFO, 16), %r11
    cmpb $0, INFO_PENDING(%r11)
    jne iret_slow
iret_loads:
    testb $2, IRET_RFLAGS + 1(%rcx) /* IF: events are to be unmasked */
    jz iret_slow
    leaq 16(%rsp), %rsp
    pushq IRET_SS(%rcx)
    pushq IRET_RSP(%rcx)
    movl IRET_RFLAGS(%rcx), %r11d
    andl $~RFLAGS_DENIED, %r11d
    orl $RFLAGS_ALWAYS, %r11d
    pushq %r11
    pushq IRET_CS(%rcx)
    pushq IRET_RIP(%rcx)            /* depth 40 */
    orb $3, 32(%rsp)
    movq IRET_R11(%rcx), %r11
    pushq IRET_RAX(%rcx)
    movq IRET_RCX(%rcx), %rcx
iret_loads_end:
    movq at(OFF_INFO, 48), %rax
    movb $0, INFO_MASK(%rax)
    testb $2, 16(%rsp)              /* to user mode? Of the kernel's own frames cs says privilege 0 */
    jz iret_to_kernel
    orb $3, 16(%rsp)
    movq at(OFF_USER_CR3, 48), %rax
    movq %rax, %cr3
    movb $0, at(OFF_KERNEL_MODE, 48)
    swapgs
    popq %rax
user_iretq:
    iretq
iret_to_kernel:
    orb $3, 16(%rsp)
    popq %rax
    jmp guest_iretq

iret_fault:                         /* the guest's stack faulted; rcx still points at the frame */
    leaq -1(%rsp), %rsp             /* the entry stack may be empty: its end is the next page's start */
    orq $0xfff, %rsp
    leaq -15(%rsp), %rsp            /* depth 16 */
    movq %rcx, (%rsp)
iret_slow:
    movq %rax, %rcx
    movl $HYPERCALL_IRET, %eax
    movl $RFLAGS_ALWAYS, %r11d
    jmp hypercall

/* #PF. Depth 48: the error code has been pushed. */
    .balign 16
page_fault:
    testb $3, 16(%rsp)
    jz page_fault_at_ring0
    pushq %rax
    pushq %rcx
    pushq %rdx                      /* depth 72: rdx rcx rax error rip cs rflags rsp ss */
    movq %cr2, %rax
    movq %rax, at(OFF_CR2, 72)
    cmpq %rax, at(OFF_SYSCALL_STUB, 72) /* a SYSCALL that arrives so (SyscallArrival::page_fault) */
    je page_fault_slow
    movq at(OFF_INFO, 72), %rcx
    cmpb $0, INFO_MASK(%rcx)
    jne page_fault_slow
    cmpq $0, at(OFF_PAGE_FAULT_ADDRESS, 72)
    je page_fault_slow
    movq at(OFF_KERNEL_SP, 72), %rdx
    cmpb $0, at(OFF_KERNEL_MODE, 72)
    jne page_fault_of_kernel
    movq at(OFF_KERNEL_CR3, 72), %rcx
    movq %rcx, %cr3
    swapgs
    movb $1, at(OFF_KERNEL_MODE, 72)
user_fault_stores:
    movq 40(%rsp), %rcx
    movq %rcx, -32(%rdx)            /* cs */
    movq 24(%rsp), %rcx
    movq %rcx, -48(%rdx)            /* error */
    movq 64(%rsp), %rcx
    movq %rcx, -8(%rdx)             /* ss */
    movq 56(%rsp), %rcx
    movq %rcx, -16(%rdx)            /* rsp */
    movq 48(%rsp), %rcx
    movq %rcx, -24(%rdx)            /* rflags */
    movq 32(%rsp), %rcx
    movq %rcx, -40(%rdx)            /* rip */
    movq %r11, -56(%rdx)
    movq 8(%rsp), %rcx
    movq %rcx, -64(%rdx)
user_fault_stores_end:
    movq at(OFF_INFO, 72), %rcx
    movq %rax, INFO_CR2(%rcx)
    movb at(OFF_PAGE_FAULT_FLAGS, 72), %al
    shrb $2, %al                    /* TI_IF */
    andb $1, %al
    movb %al, INFO_MASK(%rcx)
    leaq -64(%rdx), %rdx
    movq %rdx, 24(%rsp)             /* in place of the error code, which is stored */
    movl 48(%rsp), %r11d
    andl $~RFLAGS_ENTRY_CLEARS, %r11d
    movq at(OFF_PAGE_FAULT_ADDRESS, 72), %rcx
    popq %rdx
    addq $8, %rsp                   /* rcx and r11 are in the guest's frame, and free here */
    popq %rax
    popq %rsp
    sysretq                         /* quicker than iretq, which reads descriptors; the handler's address is canonical.
                                       AMD's leaves SS as the exception made it, null: no matter in 64-bit code */

page_fault_of_kernel:
    incb at(OFF_FAULT_SAMPLES, 72)
    jz page_fault_slow              /* one in 256: does the guest loop on it? */
    movl 24(%rsp), %ecx
    andl $3, %ecx
    cmpl $3, %ecx                   /* a write to a page that is present: perhaps to a page table */
    je page_fault_slow
    movq 56(%rsp), %rdx
    andq $-16, %rdx
    leaq -1(%rdx), %rcx
    sarq $43, %rcx
    cmpq $-16, %rcx                 /* a stack in the hole, or just above its end? below its start nothing is canonical */
    je page_fault_slow
    leaq -64(%rdx), %rcx
    sarq $43, %rcx
    cmpq $-16, %rcx
    je page_fault_slow
kernel_fault_stores:
    movq 40(%rsp), %rcx
    andq $-4, %rcx
    movq %rcx, -32(%rdx)            /* cs: says that the kernel was interrupted */
    movq 24(%rsp), %rcx
    andq $-5, %rcx
    movq %rcx, -48(%rdx)            /* error: not from user mode */
    movq 64(%rsp), %rcx
    movq %rcx, -8(%rdx)
    movq 56(%rsp), %rcx
    movq %rcx, -16(%rdx)
    movq 48(%rsp), %rcx
    movq %rcx, -24(%rdx)
    movq 32(%rsp), %rcx
    movq %rcx, -40(%rdx)
    movq %r11, -56(%rdx)
    movq 8(%rsp), %rcx
    movq %rcx, -64(%rdx)
kernel_fault_stores_end:
    jmp user_fault_stores_end

user_fault_undo:                    /* a store faulted: let the core see it from the start */
    movq at(OFF_USER_CR3, 72), %rcx
    movq %rcx, %cr3
    swapgs
    movb $0, at(OFF_KERNEL_MODE, 72)
page_fault_slow:
    popq %rdx
    popq %rcx
    popq %rax
page_fault_to_core:
    pushq $14
    jmp save_and_enter
page_fault_at_ring0:
    pushq $14
    jmp from_ring0

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
    sysenter_entry save_and_enter

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
    je refused_return
    leaq user_iretq(%rip), %rax
    cmpq %rax, 24(%rsp)
    jne nested
refused_return:
    /* The frame to be returned was refused. It still lies at the end of the entry stack, and all general registers are
       the guest's again: enter as if the guest had faulted. */
    popq %rax
    andq $AREA_MASK, %rsp           /* from whichever stack of the area */
    leaq (AREA_ENTRY_TOP - 40)(%rsp), %rsp
    pushq $0
    pushq $VECTOR_FAILSAFE
    jmp save_and_enter

nested:
    nested_entry ring0_nested

/* void ring0_load_gs(u32 selector): the guest kernel's GS is active here; its user GS is the other one. */
    .globl ring0_load_gs
ring0_load_gs:
    swapgs
load_gs:
    movl %edi, %gs
load_gs_end:
    mfence
    swapgs
    ret
load_gs_null:
    xorl %edi, %edi
    movl %edi, %gs
    mfence
    swapgs
    ret

/* Faults that are expected: from, to (exclusive), where to go on. */
    .section .rodata
    .balign 8
    .globl ring0_fixups, ring0_fixups_end
ring0_fixups:
    .quad system_call_stores, system_call_stores_end, system_call_undo
    .quad iret_loads, iret_loads_end, iret_fault
    .quad user_fault_stores, user_fault_stores_end, user_fault_undo
    .quad kernel_fault_stores, kernel_fault_stores_end, page_fault_slow
    .quad load_gs, load_gs_end, load_gs_null
ring0_fixups_end:

    .section .note.GNU-stack, "", @progbits
