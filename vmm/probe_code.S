/* SPDX-License-Identifier: Apache-2.0
   What the probe VM runs (substrate_probe.cpp): one page, position-independent but for the two views of its data page.

     ring 0: probe_start --iretq--> ring 3: probe_first: CPUID, timed loops, SYSCALL --> LSTAR or an exception
     ring 0: arrived: timed loops, another root --iretq--> ring 3: probe_second: read slot 256, SYSCALL --> ring 0: end

   In another VM the ways by which ring 3 may enter are tried in turn (probe_ways.hpp):

     ring 0: probe_start --iretq--> ring 3: way_0 --> ring 0: arrived: notes how --iretq--> ring 3: way_1 ... --> end

   General registers only, and none of the instructions that an interpreter of ring 0 may lack. */
#include "vmm/probe_layout.h"

    .section .rodata
    .balign 4096
    .globl probe_code, probe_code_end, probe_start, probe_first, probe_second, probe_lstar, probe_vectors
    .globl probe_cstar, probe_ways
probe_code:

/* PROBE_ROUNDS times the cycles of a loop, to \at of the data page in \data. */
.macro measure data, at
    .set round, 0
    .rept PROBE_ROUNDS
    rdtsc
    shl $32, %rdx
    lea (%rdx, %rax), %r8
    mov $PROBE_LOOPS, %ecx
1:  dec %ecx
    jnz 1b
    rdtsc
    shl $32, %rdx
    add %rdx, %rax
    sub %r8, %rax
    mov %rax, \at + 8 * round(\data)
    .set round, round + 1
    .endr
.endm

probe_start:
    iretq

probe_first:
    mov $PROBE_CPUID_LEAF, %eax
    xor %ecx, %ecx
    cpuid
    mov $PROBE_USER_VA + PROBE_DATA, %esi
    mov %ebx, PROBE_CPUID(%rsi)
    mov %ecx, PROBE_CPUID + 4(%rsi)
    mov %edx, PROBE_CPUID + 8(%rsi)
    measure %rsi, PROBE_RING3_CYCLES
    movl $PROBE_STAGE_SYSCALL, PROBE_STAGE(%rsi)
    syscall
    ud2

probe_second:
    mov $PROBE_USER_VA + PROBE_DATA, %esi
    movabs $PROBE_SLOT256_VA, %rax
    mov (%rax), %rax
    mov %rax, PROBE_SLOT256_VALUE(%rsi)
    movl $PROBE_STAGE_END, PROBE_STAGE(%rsi)
    syscall
    ud2

/* One piece of code for each way, 16 bytes apart, in the order of probe_ways.cpp. */
.macro shadow
    mov $0x2b, %eax
    mov %eax, %ss
.endm

.macro interrupts_and_sysenter
    .balign 16
    int $0x80
    ud2
    .balign 16
    int3
    ud2
    .balign 16
    .byte 0xf1 /* icebp */
    ud2
    .balign 16
    sysenter
    ud2
.endm

    .balign 16
probe_ways:
    .balign 16
    shadow
    syscall
    ud2
    interrupts_and_sysenter
    .balign 16
    shadow
    int3
    ud2
    .balign 16
    shadow
    .byte 0xf1
    ud2
    .code32
    .balign 16
    syscall
    ud2
    .balign 16
    shadow
    syscall
    ud2
    interrupts_and_sysenter
    .code64
    .balign 16
    fninit /* PROBE_WAY_TS */
    ud2

probe_cstar:
    mov $PROBE_AT_CSTAR, %eax
    jmp arrived
probe_lstar:
    mov $PROBE_AT_LSTAR, %eax
arrived: /* eax: how */
    movabs $(PROBE_KERNEL_VA + PROBE_DATA), %rdi
    mov PROBE_STAGE(%rdi), %ecx
    cmp $PROBE_STAGE_WAYS, %ecx
    je way_arrived
    cmp $PROBE_STAGE_SLOT256, %ecx
    jae end
    mov %eax, PROBE_VECTOR(%rdi)
    mov %cr2, %rax
    mov %rax, PROBE_CR2(%rdi)
    cmp $PROBE_STAGE_SYSCALL, %ecx
    jne end
    measure %rdi, PROBE_RING0_CYCLES
    movl $PROBE_STAGE_SLOT256, PROBE_STAGE(%rdi)
    mov PROBE_OTHER_ROOT(%rdi), %rax
    mov %rax, %cr3
    lea PROBE_SECOND_FRAME(%rdi), %rsp
    iretq
way_arrived:
    mov PROBE_WAY(%rdi), %ecx
    lea (%rcx, %rcx, 2), %rdx /* PROBE_WAY_SIZE = 3 * 8 */
    lea PROBE_WAYS(%rdi, %rdx, 8), %rdx
    mov %rax, (%rdx)
    mov %rsp, 8(%rdx)
    mov PROBE_STACK_END - 32(%rdi), %rax
    mov %rax, 16(%rdx)
    movq $0, PROBE_STACK_END - 32(%rdi)
    inc %ecx
    mov %ecx, PROBE_WAY(%rdi)
    cmp $PROBE_NR_WAYS, %ecx
    je ways_end
    cmp $PROBE_WAY_TS, %ecx
    jne 1f
    mov %cr0, %rax
    or $8, %rax
    mov %rax, %cr0
1:  lea (%rcx, %rcx, 4), %rdx /* a frame is 5 * 8 */
    lea PROBE_WAY_FRAMES(%rdi, %rdx, 8), %rsp
    iretq
ways_end:
    movl $PROBE_STAGE_WAYS_END, PROBE_STAGE(%rdi)
end:
    out %al, $PROBE_PORT
1:  hlt
    jmp 1b

    .balign 16
probe_vectors: /* 32 stubs of 16 bytes */
    .set vector, 0
    .rept 32
    .balign 16
    mov $vector, %eax
    jmp arrived
    .set vector, vector + 1
    .endr
probe_code_end:
    .section .note.GNU-stack, "", @progbits
