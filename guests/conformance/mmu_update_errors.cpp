// SPDX-License-Identifier: Apache-2.0
// mmu_update: what each command answers to each kind of frame, to other domains, and to pointers that lead nowhere.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "mmu_update_errors";

namespace {

constexpr domid_t no_domain = 0x7000;
constexpr uint64_t wild = 0xffffffffful;

uint64_t address_in(const volatile void* page, unsigned word = 0) {
    return virt_to_mfn(page) << page_shift | word * sizeof(uint64_t);
}

/// A page that is no table is written like any other memory, by each of the three commands.
void plain_pages() {
    auto* page = static_cast<volatile uint64_t*>(alloc_page());
    for (const unsigned command : {MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD, MMU_PT_UPDATE_NO_TRANSLATE}) {
        page[7] = 0x60; // what would be accessed and dirty
        expect_result(write_entry(address_in(page, 7), 0x12345, command), 0, "a word of a writable page");
        expect(page[7] == 0x12345, "command %u stored %lx", command, page[7]);
    }
    expect_result(set_read_only(const_cast<uint64_t*>(page)), 0, "read-only");
    expect_result(write_entry(address_in(page, 511), make_pte(wild, kernel_rw)), 0, "a word of a read-only page");
    expect(page[511] == make_pte(wild, kernel_rw), "it was stored as %lx", page[511]);
}

/// Descriptor pages are written by update_descriptor only.
void descriptor_pages() {
    auto* table = static_cast<uint64_t*>(alloc_page());
    xen_pfn_t frame = virt_to_mfn(table);
    expect_result(set_read_only(table), 0, "read-only");
    expect_result(hypercall(__HYPERVISOR_set_gdt, &frame, 512), 0, "set_gdt");
    expect_result(write_entry(address_in(table), 0), -XEN_EINVAL, "a word of the GDT");
    expect_result(write_entry(address_in(table), 0, MMU_PT_UPDATE_PRESERVE_AD), -XEN_EINVAL, "a word of the GDT");
    expect_result(hypercall(__HYPERVISOR_set_gdt, &frame, 0), 0, "no GDT");
    expect_result(write_entry(address_in(table), 0), 0, "a word of the former GDT");
}

void wild_addresses() {
    for (const unsigned command : {MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD, MMU_PT_UPDATE_NO_TRANSLATE}) {
        expect_result(write_entry(wild << page_shift, 0, command), -XEN_EINVAL, "a frame that is not there");
        expect_result(write_entry(~7ul, 0, command), -XEN_EINVAL, "the last word of all");
    }
    expect_result(write_entry(wild << page_shift, 1, MMU_MACHPHYS_UPDATE), -XEN_EINVAL, "M2P of no frame");
    for (unsigned command = 4; command < 8; ++command) {
        expect_result(write_entry(address_in(alloc_page()), 0, command), -XEN_ENOSYS, "a command that is none");
        expect_result(write_entry(wild << page_shift, 0, command), -XEN_ENOSYS, "a command that is none, no frame");
    }
    // Entries of tables that point nowhere, by both commands.
    void* page = alloc_page();
    for (const unsigned command : {MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD}) {
        for (unsigned level = 2; level <= 4; ++level) {
            expect_result(write_entry(entry_machine_address(free_window, 4), make_pte(wild, table_flags), command),
                          -XEN_EINVAL, "a table that is not there");
        }
        expect_result(write_entry(entry_machine_address(address_of(page)), make_pte(wild, kernel_rw), command),
                      -XEN_EPERM, "a page that is not there: as if it were a device's");
    }
    expect(pte_mfn(*entry_of(address_of(page))) == virt_to_mfn(page), "a refused entry was stored");
}

/// Whose tables (the high half), and whose frames (the low half): one's own only, and by that name only.
void domains() {
    void* page = alloc_page();
    mmu_update_t request{entry_machine_address(address_of(page)), make_pte(virt_to_mfn(page), kernel_rw)};
    const auto answers = [&](uint32_t domains, long wanted, const char* what) {
        expect_result(mmu_update(&request, 1, nullptr, domains), wanted, what);
    };
    const uint32_t self = own_domid();
    answers(DOMID_SELF, 0, "one's own");
    answers(no_domain, -XEN_ESRCH, "frames of no domain");
    answers(self, -XEN_ESRCH, "one's own frames, by number");
    answers((no_domain + 1u) << 16 | DOMID_SELF, -XEN_ESRCH, "tables of no domain");
    answers((self + 1u) << 16 | DOMID_SELF, 0, "one's own tables, by number");
    answers((DOMID_SELF + 1u) << 16 | DOMID_SELF, -XEN_ESRCH, "tables of DOMID_SELF");
    if (!is_initial_domain()) {
        answers(0, -XEN_EPERM, "frames of domain 0");
        answers(1u << 16 | DOMID_SELF, -XEN_EPERM, "tables of domain 0");
    }
    // Nothing to do: only what is asked before the list counts.
    expect_result(mmu_update(&request, 0, nullptr, no_domain), -XEN_ESRCH, "no requests for no domain");
}

/// The count of what was done is a courtesy: where it cannot be written, nothing else changes.
void counts() {
    auto* page = static_cast<volatile uint64_t*>(alloc_page());
    mmu_update_t requests[] = {{address_in(page, 0), 1}, {address_in(page, 1), 2}, {address_in(page, 2) | 5, 3}};
    auto* nowhere = reinterpret_cast<unsigned*>(0x1000);
    expect_result(mmu_update(requests, 2, nowhere), 0, "a count that cannot be written");
    expect(page[0] == 1 && page[1] == 2, "it stored %lx %lx", page[0], page[1]);
    expect_result(mmu_update(requests, 3, nowhere), -XEN_ENOSYS, "an error, and a count that cannot be written");
    unsigned done = 99;
    expect_result(mmu_update(requests, 3, &done), -XEN_ENOSYS, "the third is none");
    expect(done == 2, "%u of 3 were done", done);
    done = 99;
    expect_result(mmu_update(nullptr, 0, &done), 0, "none");
    expect(done == 0, "%u of none were done", done);
    expect_result(mmu_update(reinterpret_cast<mmu_update_t*>(0x1000), 0, &done), 0, "none, at a hole");
    expect_result(mmu_update(reinterpret_cast<mmu_update_t*>(HYPERVISOR_VIRT_START), 1), -XEN_EFAULT,
                  "requests in the hypervisor");
    // Bit 31 is how the hypervisor says that a call goes on: the count begins with what stands there.
    done = 40;
    expect_result(mmu_update(requests, 2 | 1u << 31, &done), 0, "a call that goes on");
    expect(done == 42, "it counts on to %u", done);
    expect_result(mmu_update(requests, 2 | 1u << 31, nowhere), 0, "one whose count cannot be read");
}

} // namespace

void test() {
    plain_pages();
    descriptor_pages();
    wild_addresses();
    domains();
    counts();
}

} // namespace parapet::guest
