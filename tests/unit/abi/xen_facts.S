// SPDX-License-Identifier: Apache-2.0
// Carries the sections that CMakeLists.txt took out of xen_facts.c's two objects into the test.
    .section .rodata
    .balign 16
    .macro carry symbol, file
    .globl \symbol\()_begin, \symbol\()_end
    .balign 16
\symbol\()_begin:
    .incbin "\file"
\symbol\()_end:
    .endm

    carry xen_layout64, layout64.bin
    carry xen_layout32, layout32.bin
    carry xen_constants64, constants64.bin
    carry xen_constants32, constants32.bin
    carry xen_prefix, prefix64.bin

    .section .note.GNU-stack, "", @progbits
