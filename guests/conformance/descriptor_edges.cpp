// SPDX-License-Identifier: Apache-2.0
// set_gdt, update_descriptor, set_segment_base and the debug registers: each error, and sizes up to the limit.
#include <initializer_list>

#include "guests/conformance/processor.hpp"

namespace parapet::guest {

const char* const test_name = "descriptor_edges";

namespace {

constexpr uint64_t data_dpl3 = 0x00cff3000000ffff, tss = 0x0000890000000067, odd = 0x800000000000;
constexpr uint64_t wild = 0xffffffffful;

long set_gdt(xen_pfn_t* frames, uint64_t entries) {
    return hypercall(__HYPERVISOR_set_gdt, frames, entries);
}

void gdts() {
    static xen_pfn_t frames[14];
    for (xen_pfn_t& frame : frames) {
        void* page = alloc_page();
        expect_result(set_read_only(page), 0, "read-only");
        frame = virt_to_mfn(page);
    }
    for (const unsigned entries : {0u, 1u, 511u, 512u, 513u, 7168u}) {
        expect_result(set_gdt(frames, entries), 0, "set_gdt");
    }
    for (const uint64_t entries : {7169ul, 8192ul, 0xfffffffful}) {
        expect_result(set_gdt(frames, entries), -XEN_EINVAL, "too many entries");
    }
    expect_result(set_gdt(reinterpret_cast<xen_pfn_t*>(0x1000), 1), -XEN_EFAULT, "frames at a hole");
    expect_result(set_gdt(reinterpret_cast<xen_pfn_t*>(0x1000), 0), 0, "no frames, at a hole");
    const xen_pfn_t good = frames[13];
    for (const xen_pfn_t bad : {wild, virt_to_mfn(root_table()), virt_to_mfn(alloc_page())}) {
        frames[13] = bad;
        expect_result(set_gdt(frames, 7168), -XEN_EINVAL, "the last frame is no descriptor page");
        expect_result(set_gdt(frames, 13 * 512), 0, "those before it");
    }
    frames[13] = good;
    expect_result(set_gdt(frames, 0), 0, "none");
    // One whose last descriptor is not to be had.
    auto* page = static_cast<uint64_t*>(alloc_page());
    page[511] = tss;
    frames[0] = virt_to_mfn(page);
    expect_result(set_read_only(page), 0, "read-only");
    expect_result(set_gdt(frames, 1), -XEN_EINVAL, "a task-state segment, behind the entries that count");
}

void descriptors() {
    void* page = alloc_page();
    const uint64_t address = virt_to_mfn(page) << page_shift;
    const auto update = [](uint64_t at, uint64_t value) {
        return hypercall(__HYPERVISOR_update_descriptor, at, value);
    };
    expect_result(update(address, data_dpl3), 0, "in a page that is none yet");
    expect(*static_cast<volatile uint64_t*>(page) == data_dpl3, "it was not written");
    expect_result(update(address + 4088, 0), 0, "the last of the page");
    for (unsigned offset = 1; offset < 8; ++offset) {
        expect_result(update(address + offset, data_dpl3), -XEN_EINVAL, "an odd address");
    }
    expect_result(update(wild << page_shift, data_dpl3), -XEN_EINVAL, "no frame");
    expect_result(update(virt_to_mfn(root_table()) << page_shift, data_dpl3), -XEN_EINVAL, "a page table");
    expect_result(update(address, tss), -XEN_EINVAL, "a task-state segment");
}

void bases() {
    const auto set = [](unsigned which, uint64_t base) {
        return hypercall(__HYPERVISOR_set_segment_base, which, base);
    };
    for (const unsigned which : {SEGBASE_FS, SEGBASE_GS_USER, SEGBASE_GS_KERNEL}) {
        expect_result(set(which, odd), -XEN_EINVAL, "not canonical");
        expect_result(set(which, 0x7fffffffffff), 0, "the last of the low half");
        expect_result(set(which, 0xffff800000000000), 0, "the first of the high half");
        expect_result(set(which, 0), 0, "0");
    }
    for (const unsigned selector : {0u, 3u, 0x7f8u, 0xfffcu, 0xffffu}) {
        expect_result(set(SEGBASE_GS_USER_SEL, selector), 0, "any selector; where it cannot be loaded, null is");
    }
    for (const unsigned which : {4u, 77u, ~0u}) {
        expect_result(set(which, 0), -XEN_EINVAL, "no such base");
    }
}

void debug_registers() {
    const auto set = [](unsigned number, uint64_t value) {
        return hypercall(__HYPERVISOR_set_debugreg, number, value);
    };
    const auto get = [](unsigned number) { return hypercall(__HYPERVISOR_get_debugreg, number); };
    for (unsigned number = 0; number < 4; ++number) {
        for (const uint64_t bad : {HYPERVISOR_VIRT_START, HYPERVISOR_VIRT_END - 1, odd}) {
            expect_result(set(number, bad), -XEN_EPERM, "an address that is not the guest's");
        }
        expect_result(set(number, 0x1000 + number), 0, "an address");
        expect_result(get(number), 0x1000 + number, "it");
    }
    for (const unsigned number : {8u, 15u, 99u, ~0u}) {
        expect_result(set(number, 0), -XEN_ENODEV, "no such register");
        expect_result(get(number), -XEN_ENODEV, "no such register");
    }
    expect_result(set(6, 0xffffffff), 0, "all of dr6");
    expect(get(6) == 0xffffefff, "dr6 %lx", get(6));
    for (const unsigned number : {6u, 7u}) {
        expect_result(set(number, 1ul << 32), -XEN_EINVAL, "a bit beyond the 32 that there are");
        expect_result(set(number, ~0ul), -XEN_EINVAL, "all 64 bits");
    }
    expect_result(set(7, 0x2000), -XEN_EPERM, "general detect");
    expect_result(set(7, 0), 0, "none enabled");
    expect_result(get(7), 0x400, "dr7");
    expect_result(set(4, 0), 0, "dr4 is dr6");
    expect_result(set(5, 0), 0, "dr5 is dr7");
    write_cr4(read_cr4() | 8);
    for (const unsigned number : {4u, 5u}) {
        expect_result(set(number, 0), -XEN_ENODEV, "with CR4.DE it is none");
        expect_result(get(number), -XEN_ENODEV, "with CR4.DE it is none");
    }
    write_cr4(read_cr4() & ~8ul);
}

} // namespace

void test() {
    gdts();
    descriptors();
    bases();
    debug_registers();
}

} // namespace parapet::guest
