/* SPDX-License-Identifier: Apache-2.0
 *
 * Entry and exit of the nucleus, home ring3: the core runs at ring 3 in a root of its own, where code runs natively even
 * if ring 0 is interpreted instruction by instruction. So what is at ring 0 here is counted in instructions.
 *
 *   interrupt or exception at ring 3
 *     1. the processor pushes ss rsp rflags cs rip [error] on the entry stack, the stub [error] and vector, then rax
 *     2. ring 0 loads the core's root and returns, by a frame prepared in Control, to core_entry at ring 3
 *     3. core_entry saves all registers to Regs and calls ring3_enter(vcpu)
 *     4. core_exit restores them, but for rax, which has the guest's root, and does int3 with Control::leaving = 1
 *     5. ring 0 loads the root, rax, does the exit work if there is any, and returns to the guest by the frame in Regs
 *   SYSCALL at ring 3: arrives as a page fault at LSTAR (the core tells it apart), or where the processor does what its
 *     manual says, at syscall_entry by the vCPU's stub
 *   privileged service for the core: int3 with Control::leaving = 2, served by ring3_call(), back by iretq
 *
 * The entry stack is always empty when ring 3 runs, so all of the vCPU's area lies at constant offsets from rsp.
 * `at(x, depth)` is area offset x when `depth` bytes have been pushed.
 */
#include "hypercall-emu/ring0/asm_offsets.hpp"
#include "hypercall-emu/ring0/shared_entry.inc"

#define at(x, depth) ((x) - AREA_ENTRY_TOP + (depth))(%rsp)

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
    .quad gate_text
    .quad divide_error
    .quad breakpoint
    .quad page_fault
    .quad syscall_stubs
    .quad sysenter_entry
    .quad 0                                     /* nothing faults on a guest's rsp here: docs/security.md */

    room_for_syscall_stubs

    .text

    .balign 16
    .globl vector_stubs
vector_stubs:
    .set number, 0
    .rept 256
    .balign 16
    .if number == 0
    jmp divide_error
    .elseif number == 3
    jmp breakpoint
    .elseif number == 1 || number == 2 || number == 18
    pushq $number
    jmp own_stack_common
    .elseif number == 14
    jmp page_fault
    .else
    .if number == 8 || (number >= 10 && number <= 13) || number == 17 || number == 21 || number == 29 || number == 30
    .else
    pushq $0
    .endif
    pushq $number
    jmp vector_common
    .endif
    .set number, number + 1
    .endr

    .balign 16
divide_error:                                   /* depth 40; by this the core leaves, if there is nothing else to do */
    cmpl $NUCLEUS_HIGH, 4(%rsp)
    jne 1f
    movq %rax, %cr3
    movq at(AREA_REGS_OFFSET + REG_RAX, 40), %rax
    leaq at(AREA_REGS_OFFSET + REG_RIP, 40), %rsp
plain_iretq:
    iretq
1:  pushq $0
    pushq $0
    jmp vector_common

    .balign 16
breakpoint:                                     /* depth 40 */
    cmpl $GATE_HIGH, 4(%rsp)                    /* rip: whose int3 is it? */
    jne breakpoint_elsewhere
    cmpb $gate_user_site_end - gate_text, (%rsp)
    je gate_to_kernel
    cmpb $gate_core_site_end - gate_text, (%rsp)
    jne gate_to_user
    pushq %rax
gate_to_core:                                   /* depth 48 */
    movq at(CONTROL_CORE_CR3, 48), %rax
    movq %rax, %cr3
    leaq at(CONTROL_CALL_FRAME, 48), %rsp
    iretq

breakpoint_elsewhere:
    cmpl $NUCLEUS_HIGH, 4(%rsp)
    je from_core
breakpoint_to_core:
    pushq $0
    pushq $3
vector_common:                                  /* depth 56 */
    testb $3, 24(%rsp)
    jz from_ring0
enter_core:
    pushq %rax
    movq at(CONTROL_CORE_CR3, 64), %rax
    movq %rax, %cr3
    leaq at(CONTROL_ENTRY_FRAME, 64), %rsp
    iretq


    own_stack_entry enter_core

    .balign 16
page_fault:                                     /* depth 48 */
    testb $3, 16(%rsp)
    jz 1f
    pushq %rax
    movq %cr2, %rax
    movq %rax, at(OFF_CR2, 56)
    movq at(CONTROL_CORE_CR3, 56), %rax
    movq %rax, %cr3
    leaq at(CONTROL_FAULT_FRAME, 56), %rsp
    iretq
1:  pushq $14
    jmp from_ring0

    .balign 16
from_core:                                      /* depth 40; rax: root to run on */
    cmpb $LEAVING_FOR_CALL, at(CONTROL_LEAVING, 40)
    je serve_call
    movq %rax, %cr3
    jmp exit_work
leave_by_regs:
    leaq at(AREA_REGS_OFFSET + REG_RIP, 40), %rsp
guest_iretq:
    iretq

/* The guest kernel returns to user mode: rsp and rflags are the user's already, rcx has the user's rip. Depth 40. In which
   mode the gate was used, its data says (set_gate). */
    .balign 16
gate_to_user:
    cmpb $gate_iret_site_end - gate_text, (%rsp)
    jne breakpoint_to_core
    cmpb $gate_hypercall - gate_text, at(AREA_GATE_OFFSET + GATE_TARGET, 40)
    jne breakpoint_to_core
    pushq %rax
    movq at(OFF_INFO, 48), %rax
    cmpb $0, INFO_PENDING(%rax)
    jne gate_event_pending
    movb $0, INFO_MASK(%rax)
    movq at(OFF_USER_CR3, 48), %rax
    movq %rax, %cr3
    popq %rax
    movq %rcx, (%rsp)
    orb $2, 17(%rsp)                            /* IF, which SYSCALL cleared */
    movb $gate_user_site - gate_text, at(AREA_GATE_OFFSET + GATE_TARGET, 40)
    swapgs
gate_iretq:
    iretq

gate_event_pending:
    popq %rax
    jmp breakpoint_to_core

gate_to_kernel:                                 /* a system call of user mode: rcx, r11, rsp are the user's */
    cmpb $gate_user_site - gate_text, at(AREA_GATE_OFFSET + GATE_TARGET, 40)
    jne breakpoint_to_core
    pushq %rax
    movq at(OFF_KERNEL_CR3, 48), %rax
    movq %rax, %cr3
    movq at(OFF_KERNEL_SP, 48), %rax            /* not 0: set_gate */
    .globl gate_stores, gate_stores_end, gate_stores_fault
gate_stores:                                    /* what no program may read goes by the guest kernel's own stack */
    pushq 32(%rsp)
    popq -16(%rax)
    pushq at(OFF_SYSCALL_ENTRY, 48)
    popq -64(%rax)
gate_stores_end:
    movq at(OFF_INFO, 48), %rax
    movb $1, INFO_MASK(%rax)                    /* the fast mode is only for callbacks that mask events */
    popq %rax
    movb $gate_hypercall - gate_text, at(AREA_GATE_OFFSET + GATE_TARGET, 40)
    swapgs
    leaq at(CONTROL_GATE_FRAME, 40), %rsp
    iretq

gate_stores_fault:                              /* depth 56: the stack does not take it; the core finds out and says so */
    leaq 8(%rsp), %rsp
    jmp gate_to_core

exit_work:
    testl $WORK_SWAPGS, at(OFF_WORK_FLAGS, 40)
    jz 1f
    swapgs
1:  testl $WORK_WRITE_MSR, at(OFF_WORK_FLAGS, 40)
    jz 3f
    pushq %rbx
    leaq at(OFF_WORK_MSRS, 48), %rbx
2:  movl (%rbx), %ecx
    movl 8(%rbx), %eax
    movl 12(%rbx), %edx
    wrmsr
    addq $MSR_WRITE_SIZE, %rbx
    decl at(OFF_WORK_NR_MSRS, 48)
    jnz 2b
    popq %rbx
    movq at(AREA_REGS_OFFSET + REG_RCX, 40), %rcx
    movq at(AREA_REGS_OFFSET + REG_RDX, 40), %rdx
3:  testl $~(WORK_SWAPGS | WORK_WRITE_MSR), at(OFF_WORK_FLAGS, 40)
    jnz rare_exit_work
    movl $0, at(OFF_WORK_FLAGS, 40)
    movq at(AREA_REGS_OFFSET + REG_RAX, 40), %rax
    jmp leave_by_regs

rare_exit_work:
    leaq at(0, 40), %rdi                        /* vcpu; the core's registers are of no use any more */
    movq %rdi, %rbx
    subq $8, %rsp
    call ring3_exit_work                        /* 1: it blocked, and an interrupt came */
    addq $8, %rsp
    testl %eax, %eax
    jnz wake_core
    leaq AREA_REGS_OFFSET(%rbx), %rax
    movq (%rax), %r15
    movq 8(%rax), %r14
    movq 16(%rax), %r13
    movq 24(%rax), %r12
    movq 32(%rax), %rbp
    movq 40(%rax), %rbx
    movq 48(%rax), %r11
    movq 56(%rax), %r10
    movq 64(%rax), %r9
    movq 72(%rax), %r8
    movq 88(%rax), %rcx
    movq 96(%rax), %rdx
    movq 104(%rax), %rsi
    movq 112(%rax), %rdi
    movq REG_RAX(%rax), %rax
    jmp leave_by_regs

wake_core:
    movq at(CONTROL_CORE_CR3, 40), %rax
    movq %rax, %cr3
    leaq at(CONTROL_WAKE_FRAME, 40), %rsp
    iretq

serve_call:                                     /* depth 40; the core called as a function: it expects rbx.. only */
    leaq at(0, 40), %rdi
    subq $8, %rsp
    call ring3_call
    addq $8, %rsp
    iretq

    .balign 16
    .globl syscall_entry
syscall_entry:                                  /* rsp: the frame's rsp slot, which holds the caller's */
    movq $SEL_USER_SS, 8(%rsp)
    pushq %r11
    pushq $SEL_USER_CS
    pushq %rcx
    pushq $0
    pushq $VECTOR_SYSCALL
    jmp enter_core

    .balign 16
    .globl syscall32_entry
syscall32_entry:
    movq $SEL_USER_SS, 8(%rsp)
    pushq %r11
    pushq $SEL_USER_CS32
    pushq %rcx
    pushq $0
    pushq $VECTOR_SYSCALL32
    jmp enter_core
    sysenter_entry enter_core

    .globl boot_entry
boot_entry:                                     /* rdi: vcpu, at ring 0 on the core's stack */
    movq %rdi, %rbx
    call ring3_start
    leaq AREA_ENTRY_TOP - 40(%rbx), %rsp
    jmp wake_core

/* At ring 0. The frame: vector, error, rip, cs, rflags, rsp, ss. */
    .balign 16
from_ring0:
    pushq %rax
    leaq guest_iretq(%rip), %rax
    cmpq %rax, 24(%rsp)
    je refused_return
    leaq plain_iretq(%rip), %rax
    cmpq %rax, 24(%rsp)
    je refused_return
    leaq gate_iretq(%rip), %rax
    cmpq %rax, 24(%rsp)
    jne nested
    /* The gate's frame was refused; it lies at the end of the entry stack. */
    popq %rax
    orq $0xfff, %rsp
    leaq -39(%rsp), %rsp
    pushq $0
    pushq $VECTOR_FAILSAFE
    jmp enter_core
refused_return:
    /* The frame in Regs was refused, and all general registers are the guest's again: enter as if the guest had faulted.
       The fault's own frame lies right below that frame, in Regs; its five words are still whole. */
    popq %rax
    orq $0xfff, %rsp
    leaq 1(%rsp), %rsp                          /* the entry stack, empty */
    pushq at(AREA_REGS_OFFSET + REG_SS, 0)
    pushq at(AREA_REGS_OFFSET + REG_RSP, 8)
    pushq at(AREA_REGS_OFFSET + REG_RFLAGS, 16)
    pushq at(AREA_REGS_OFFSET + REG_CS, 24)
    pushq at(AREA_REGS_OFFSET + REG_RIP, 32)
    pushq $0
    pushq $VECTOR_FAILSAFE
    jmp enter_core

nested:
    nested_entry ring3_nested

    .globl ring0_load_gs
ring0_load_gs:
    swapgs
    .globl ring0_load_gs_fault
ring0_load_gs_fault:
    movl %edi, %gs
    swapgs
    ret
    .globl ring0_load_gs_fixup
ring0_load_gs_fixup:
    xorl %edi, %edi
    movl %edi, %gs
    swapgs
    ret

/* ---- ring 3 ---- */

#define area(x) ((x) - AREA_CORE_STACK_TOP)(%rsp)
#define reg(x) area(AREA_REGS_OFFSET + (x))

/* All general registers but rax. */
.macro save_registers
    movq %r15, reg(0)
    movq %r14, reg(8)
    movq %r13, reg(16)
    movq %r12, reg(24)
    movq %rbp, reg(32)
    movq %rbx, reg(40)
    movq %r11, reg(48)
    movq %r10, reg(56)
    movq %r9, reg(64)
    movq %r8, reg(72)
    movq %rcx, reg(88)
    movq %rdx, reg(96)
    movq %rsi, reg(104)
    movq %rdi, reg(112)
.endm

/* From what the processor pushed: `from` of its frame to `to` of Regs, by rax. */
.macro copy_frame from, to
    movq area(HARDWARE_FRAME + \from), %rax
    movq %rax, reg(\to)
.endm

.macro call_core function
    leaq area(0), %rdi
    movq %rdi, %rbx
    call \function
.endm

    .balign 16
    .globl core_entry
core_entry:                                     /* rsp: top of the core's stack; all registers the guest's but rax */
    cmpb $0, area(CONTROL_BUSY)
    jne core_fault
    movb $1, area(CONTROL_BUSY)
    save_registers
    copy_frame -24, REG_RAX
    copy_frame -16, REG_VECTOR
    copy_frame -8, REG_ERROR
    copy_frame 0, REG_RIP
    copy_frame 8, REG_CS
    copy_frame 16, REG_RFLAGS
    copy_frame 24, REG_RSP
    copy_frame 32, REG_SS
    call_core ring3_enter
    jmp core_exit

    .balign 16
    .globl core_entry_fault
core_entry_fault:                               /* as core_entry, for a page fault: no vector has been pushed */
    cmpb $0, area(CONTROL_BUSY)
    jne core_page_fault
    movb $1, area(CONTROL_BUSY)
    save_registers
    copy_frame -16, REG_RAX
    movq $14, reg(REG_VECTOR)
    copy_frame -8, REG_ERROR
    copy_frame 0, REG_RIP
    copy_frame 8, REG_CS
    copy_frame 16, REG_RFLAGS
    copy_frame 24, REG_RSP
    copy_frame 32, REG_SS
    call_core ring3_enter
    jmp core_exit

    .balign 16
    .globl core_entry_call
core_entry_call:                                /* a SYSCALL by the gate: rcx, r11 have its rip and rflags */
    movb $1, area(CONTROL_BUSY)
    save_registers
    copy_frame -8, REG_RAX
    movq $VECTOR_SYSCALL, reg(REG_VECTOR)
    movq $0, reg(REG_ERROR)
    copy_frame 8, REG_CS
    copy_frame 24, REG_RSP
    copy_frame 32, REG_SS
    call_core ring3_syscall
core_exit:                                      /* rbx: vcpu; rsp: top of the core's stack */
    movb $0, area(CONTROL_BUSY)
    movq OFF_CR3(%rbx), %rax
    cmpl $0, OFF_WORK_FLAGS(%rbx)
    jne 1f
    call restore_registers
    divb area(CONTROL_ZERO)
1:  movb $LEAVING_TO_GUEST, area(CONTROL_LEAVING)
    call restore_registers
    int3

restore_registers:                              /* all but rax; depth: one return address */
#undef area
#define area(x) ((x) - AREA_CORE_STACK_TOP + 8)(%rsp)
    movq reg(0), %r15
    movq reg(8), %r14
    movq reg(16), %r13
    movq reg(24), %r12
    movq reg(32), %rbp
    movq reg(40), %rbx
    movq reg(48), %r11
    movq reg(56), %r10
    movq reg(64), %r9
    movq reg(72), %r8
    movq reg(88), %rcx
    movq reg(96), %rdx
    movq reg(104), %rsi
    movq reg(112), %rdi
    ret
#undef area
#define area(x) ((x) - AREA_CORE_STACK_TOP)(%rsp)

    .globl core_wake
core_wake:                                      /* from boot or block: Regs is whole already */
    movb $1, area(CONTROL_BUSY)
    leaq area(0), %rdi
    movq %rdi, %rbx
    call ring3_wake
    jmp core_exit

core_page_fault:                                /* its frame has no vector yet */
    movq $14, area(HARDWARE_FRAME - 16)
core_fault:                                     /* an exception in the core itself */
    leaq area(0), %rdi
    leaq area(HARDWARE_FRAME - 16), %rsi
    call ring3_core_fault
    jmp core_exit

    .globl core_call
core_call:                                      /* rdi: control; ring 0 keeps what a function keeps */
    movb $LEAVING_FOR_CALL, (%rdi)
    pushq %rdi
    int3
    popq %rdi
    movb $0, (%rdi)
    ret

#include "hypercall-emu/ring3/gate.inc"

    .section .note.GNU-stack, "", @progbits
