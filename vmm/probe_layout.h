/* SPDX-License-Identifier: Apache-2.0
   Where the probe's code finds things: shared by probe_code.S and substrate_probe.cpp. */
#pragma once

#define PROBE_KERNEL_VA 0xffff820000000000 /* supervisor: L4 slot 260, code page, then the data page */
#define PROBE_USER_VA 0x400000             /* the same two pages for ring 3 */
#define PROBE_SLOT256_VA 0xffff800000000000
#define PROBE_DATA 0x1000 /* offset of the data page */
#define PROBE_PORT 0x50

/* The data page */
#define PROBE_STAGE 0x00        /* how far it came, PROBE_STAGE_* */
#define PROBE_OTHER_ROOT 0x08   /* in: CR3 of a root that has slot 256 as well */
#define PROBE_CPUID 0x10        /* ebx, ecx, edx of PROBE_CPUID_LEAF at ring 3 */
#define PROBE_RING3_CYCLES 0x20 /* PROBE_ROUNDS times */
#define PROBE_RING0_CYCLES 0x40
#define PROBE_SLOT256_VALUE 0x60
#define PROBE_VECTOR 0x70 /* how the first SYSCALL arrived: PROBE_AT_LSTAR or an exception's vector */
#define PROBE_CR2 0x78
#define PROBE_WAY 0x90 /* number of the way under way */
#define PROBE_WAYS 0x180 /* PROBE_NR_WAYS times: how it arrived, rsp, cs of the frame that the processor pushed */
#define PROBE_WAY_SIZE 24
#define PROBE_WAY_FRAMES 0x300 /* in: PROBE_NR_WAYS times what iretq takes to the way's code */
#define PROBE_FIRST_FRAME 0x100  /* in: what iretq takes to PROBE_USER_VA + probe_first */
#define PROBE_SECOND_FRAME 0x140 /* in: the same for probe_second */
#define PROBE_STACK_END 0x1000   /* RSP0 */

#define PROBE_STAGE_START 0
#define PROBE_STAGE_SYSCALL 1 /* about to do the first SYSCALL */
#define PROBE_STAGE_SLOT256 2 /* it arrived; about to use slot 256 */
#define PROBE_STAGE_END 3     /* slot 256 was read */

/* In a VM of its own */
#define PROBE_STAGE_WAYS 8     /* trying the ways into ring 0 */
#define PROBE_STAGE_WAYS_END 9 /* all were tried */
#define PROBE_NR_WAYS 14
#define PROBE_WAY_TS 13 /* runs with CR0.TS set */

#define PROBE_AT_LSTAR 0x100
#define PROBE_AT_CSTAR 0x101
#define PROBE_ROUNDS 3
#define PROBE_LOOPS 100
#define PROBE_CPUID_LEAF 1
