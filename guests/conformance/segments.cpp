// SPDX-License-Identifier: Apache-2.0
// Descriptors: set_gdt, update_descriptor, what they refuse; selectors; segment bases.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "segments";

namespace {

constexpr uint64_t data_dpl3 = 0x00cff3000000ffff; // flat, DPL 3, writable
constexpr uint64_t data_dpl0 = 0x00cf93000000ffff;
constexpr uint64_t code_dpl0 = 0x00af9b000000ffff;
constexpr uint64_t code_dpl3 = 0x00affb000000ffff;
constexpr uint64_t call_gate = 0x0000ec0000100000; // to ring 0
constexpr uint64_t tss = 0x0000890000000067;
constexpr unsigned entry = 4;
constexpr unsigned empty_entry = 40; // beyond what a host under us may have in a GDT of its own

uint64_t* table;
uint64_t frame;

long set_gdt(uint64_t mfn, unsigned entries) {
    uint64_t frames[1] = {mfn};
    return hypercall(__HYPERVISOR_set_gdt, frames, entries);
}

long update(unsigned index, uint64_t descriptor) {
    return hypercall(__HYPERVISOR_update_descriptor, (frame << page_shift) + index * 8, descriptor);
}

void bases() {
    static uint64_t cell = 0xfeed;
    expect_result(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, &cell), 0, "FS base");
    uint64_t value;
    asm volatile("movq %%fs:0, %0" : "=r"(value));
    expect(value == 0xfeed, "fs:0 is %lx", value);
    expect_result(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_GS_KERNEL, &cell), 0, "kernel GS base");
    asm volatile("movq %%gs:0, %0" : "=r"(value));
    expect(value == 0xfeed, "gs:0 is %lx", value);
    expect_refused(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, 0x800000000000), "a non-canonical FS base");
    expect_refused(hypercall(__HYPERVISOR_set_segment_base, 77, 0), "unknown base");

    expect_result(user_init(), 0, "user mode");
    *static_cast<volatile uint64_t*>(user_data_page()) = 0xca11;
    expect_result(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER, user_data), 0, "user GS base");
    expect(RUN_USER(user_gs_read, 0) == 0xca11, "user mode's gs:0");
    asm volatile("movq %%gs:0, %0" : "=r"(value));
    expect(value == 0xfeed, "the kernel's gs:0 after user mode is %lx", value);
    expect_result(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, user_data), 0, "FS base for user mode");
    expect(RUN_USER(user_fs_read, 0) == 0xca11, "user mode's fs:0");
    expect_result(hypercall(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 0), 0, "user GS selector 0");
}

} // namespace

void test() {
    table = static_cast<uint64_t*>(alloc_page());
    frame = virt_to_mfn(table);
    table[entry] = data_dpl3;
    expect_refused(set_gdt(frame, 512), "a GDT with a writable mapping");
    expect_result(set_read_only(table), 0, "read-only");
    expect_result(set_gdt(frame, 512), 0, "set_gdt");
    expect_type_conflict(set_writable(table), "a GDT made writable");
    expect_trap(catch_trap([] { asm volatile("movw %w0, %%ds" : : "r"(entry * 8 + 3)); }), no_trap, 0, "load ds");
    expect_trap(catch_trap([] {
                    asm volatile("movw %w0, %%es" : : "r"(empty_entry * 8 + 3));
                }),
                vector_gp, empty_entry * 8, "load an empty descriptor");
    asm volatile("movw %w0, %%ds; movw %w0, %%es" : : "r"(0));

    expect_result(update(5, data_dpl3), 0, "data, DPL 3");
    expect(table[5] == data_dpl3, "the descriptor is %lx", table[5]);
    expect_trap(catch_trap([] { asm volatile("movw %w0, %%es" : : "r"(5 * 8 + 3)); }), no_trap, 0, "load es");
    asm volatile("movw %w0, %%es" : : "r"(0));
    expect_result(update(6, code_dpl3), 0, "code, DPL 3");
    expect_result(update(6, 0), 0, "empty");
    // Below ring 3 is the hypervisor's: either refused or with the privilege corrected, never as asked.
    for (const uint64_t descriptor : {data_dpl0, code_dpl0}) {
        const long result = update(6, descriptor);
        print("info: descriptor of DPL 0: %ld, gives %lx\n", result, table[6]);
        expect(result < 0 || (table[6] >> 45 & 3) == 3, "a descriptor of DPL 0: %lx", table[6]);
    }
    const long gate = update(7, call_gate);
    print("info: call gate: %ld, gives %lx\n", gate, table[7]);
    expect(gate < 0 || (table[7] >> 47 & 1) == 0 || (table[7] >> 16 & 3) == 3, "a call gate to ring 0: %lx", table[7]);
    expect_refused(update(7, tss), "a task-state segment");
    expect_refused(hypercall(__HYPERVISOR_update_descriptor, 0xfffffffff000, data_dpl3), "a wild address");
    expect_refused(hypercall(__HYPERVISOR_update_descriptor, (frame << page_shift) + 4, data_dpl3), "an odd address");
    expect_refused(hypercall(__HYPERVISOR_update_descriptor, virt_to_mfn(root_table()) << page_shift, data_dpl3),
                   "a page table");
    expect_refused(set_gdt(0xfffffffff, 512), "a wild GDT frame");
    expect_refused(set_gdt(frame, 9000), "too many entries");
    expect_result(set_gdt(frame, 0), 0, "no GDT");
    expect_result(set_writable(table), 0, "the former GDT writable");
    bases();
}

} // namespace parapet::guest
