// SPDX-License-Identifier: Apache-2.0
// Entry point, Xen notes and hypercall page of every guest.

#define PAGE_SIZE 4096

// One ELF note of owner "Xen". `value` emits its descriptor.
.macro xen_note type:req value:vararg
    .pushsection .note.Xen, "a", @note
    .balign 4
    .long 4                       // size of the owner's name
    .long 1f - 0f                 // size of the descriptor
    .long \type
    .asciz "Xen"
0:  \value
1:  .balign 4
    .popsection
.endm

    xen_note 6,  .asciz "parapet-guest"         // XEN_ELFNOTE_GUEST_OS
    xen_note 7,  .asciz "1"                     // XEN_ELFNOTE_GUEST_VERSION
    xen_note 5,  .asciz "xen-3.0"               // XEN_ELFNOTE_XEN_VERSION
    xen_note 3,  .quad 0xffffffff80000000               // XEN_ELFNOTE_VIRT_BASE
    xen_note 4,  .quad 0                        // XEN_ELFNOTE_PADDR_OFFSET
    xen_note 1,  .quad _start                   // XEN_ELFNOTE_ENTRY
    xen_note 2,  .quad hypercall_page           // XEN_ELFNOTE_HYPERCALL_PAGE
    xen_note 10, .asciz "!writable_page_tables|pae_pgdir_above_4gb" // XEN_ELFNOTE_FEATURES
    xen_note 9,  .asciz "yes"                   // XEN_ELFNOTE_PAE_MODE
    xen_note 8,  .asciz "generic"               // XEN_ELFNOTE_LOADER
    xen_note 14, .quad 0                        // XEN_ELFNOTE_SUSPEND_CANCEL

    .section .text.start, "ax"
    .globl _start
// In: %rsi = start_info, flat segments, paging on, events masked.
_start:
    cld
    movq $boot_stack_end, %rsp
    movq %rsi, %rdi
    xorl %ebp, %ebp
    call guest_start
    ud2

    .balign PAGE_SIZE
    .globl hypercall_page
hypercall_page:
    .skip PAGE_SIZE, 0xcc         // filled by the hypervisor: 32 bytes per hypercall number

    .section .bss
    .balign PAGE_SIZE
    .globl boot_stack_begin, boot_stack_end
boot_stack_begin:
    .skip 8 * PAGE_SIZE
boot_stack_end:

    .section .note.GNU-stack, "", @progbits
