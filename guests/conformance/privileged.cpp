// SPDX-License-Identifier: Apache-2.0
// Privileged instructions that the hypervisor emulates for the guest kernel, and that fault otherwise.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "privileged";

void test() {
    uint64_t value = 0;
    expect_trap(catch_trap([&] { asm volatile("movq %%cr0, %0" : "=r"(value)); }), no_trap, 0, "read cr0");
    expect((value & 0x80000001) == 0x80000001, "cr0 is %lx", value);
    expect_trap(catch_trap([&] { asm volatile("movq %%cr4, %0" : "=r"(value)); }), no_trap, 0, "read cr4");
    expect((value & 0x20) != 0, "cr4 is %lx without PAE", value);
    expect_trap(catch_trap([&] { asm volatile("movq %%cr3, %0" : "=r"(value)); }), no_trap, 0, "read cr3");
    expect(value == virt_to_mfn(root_table()) << page_shift, "cr3 is %lx, our root %lx", value,
           virt_to_mfn(root_table()) << page_shift);
    expect_trap(catch_trap([&] { asm volatile("movq %0, %%cr3" : : "r"(value) : "memory"); }), no_trap, 0, "write cr3");
    expect_trap(catch_trap([] {
                    asm volatile("movq %0, %%cr3" : : "r"(0xfffffffff000ul) : "memory");
                }),
                vector_gp, 0, "a wild cr3");
    expect(catch_trap([] { (void)*reinterpret_cast<volatile uint64_t*>(0x9000); }).vector == vector_pf, "no #PF");
    expect_trap(catch_trap([&] { asm volatile("movq %%cr2, %0" : "=r"(value)); }), no_trap, 0, "read cr2");
    expect(value == 0x9000, "cr2 is %lx", value);
    const auto window = address_of(alloc_page());
    expect_trap(catch_trap([=] { asm volatile("invlpg (%0)" : : "r"(window) : "memory"); }), vector_gp, 0, "invlpg");
    expect_trap(catch_trap([] { asm volatile("clts"); }), no_trap, 0, "clts");
    expect_trap(catch_trap([] { asm volatile("wbinvd" : : : "memory"); }), no_trap, 0, "wbinvd");
    expect_trap(catch_trap([] {
                    uint64_t low;
                    uint64_t high;
                    asm volatile("rdtsc" : "=a"(low), "=d"(high));
                }),
                no_trap, 0, "rdtsc");

    expect_trap(catch_trap([] { asm volatile("hlt" : : : "memory"); }), vector_gp, 0, "hlt"); // sched_op blocks
    expect_trap(catch_trap([] { asm volatile("cli"); }), vector_gp, 0, "cli");
    expect_trap(catch_trap([] { asm volatile("sti"); }), vector_gp, 0, "sti");
    const struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } table = {0xfff, 0};
    expect_trap(catch_trap([&] { asm volatile("lgdt %0" : : "m"(table)); }), vector_gp, 0, "lgdt");
    expect_trap(catch_trap([&] { asm volatile("lidt %0" : : "m"(table)); }), vector_gp, 0, "lidt");
    expect_trap(catch_trap([&] { asm volatile("ltr %w0" : : "r"(0)); }), vector_gp, 0, "ltr");
    expect_trap(catch_trap([&] { asm volatile("swapgs"); }), vector_gp, 0, "swapgs");
    expect_trap(catch_trap([] { asm volatile("movq %0, %%cr8" : : "r"(15ul)); }), vector_gp, 0, "write cr8");
    // pushf and popf are not privileged: the real IF stays set.
    uint64_t flags;
    asm volatile("pushfq; andq $~0x200, (%%rsp); popfq; pushfq; popq %0" : "=r"(flags));
    expect((flags & 0x200) != 0, "popf cleared the real IF");
}

} // namespace parapet::guest
