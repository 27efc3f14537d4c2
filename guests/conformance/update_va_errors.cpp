// SPDX-License-Identifier: Apache-2.0
// update_va_mapping: kinds of flush that are none, bitmaps of vCPUs that are not there, and other domains. Where only
// the flush is wrong, the entry has changed.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "update_va_errors";

namespace {

constexpr domid_t no_domain = 0x7000;
void* page;

uint64_t entry() {
    return *entry_of(address_of(page)) & ~(pte_user | pte_accessed | pte_dirty);
}

/// Alternates between a read-only and a writable mapping, so that each call changes the entry.
long update(uint64_t flags) {
    static bool writable = true;
    writable = !writable;
    return update_va_mapping(address_of(page), make_pte(virt_to_mfn(page), writable ? kernel_rw : kernel_ro), flags);
}

void flush_kinds() {
    uint64_t vcpus = 1;
    for (const uint64_t kind : {UVMF_NONE, UVMF_TLB_FLUSH, UVMF_INVLPG}) {
        expect_result(update(kind), 0, "for this vCPU");
        expect_result(update(kind | UVMF_ALL), 0, "for all");
        expect_result(update(kind | address_of(&vcpus)), 0, "for some");
    }
    const uint64_t before = entry();
    expect_result(update(UVMF_TLB_FLUSH | 0x1000), -XEN_EFAULT, "a bitmap at a hole");
    expect(entry() != before, "the entry is as before");
    expect_result(update(UVMF_INVLPG | 0x1000), -XEN_EFAULT, "a bitmap at a hole, one page");
    expect(entry() == before, "the entry is as before");
    expect_result(update(UVMF_NONE | 0x1000), 0, "a bitmap that is of no use");
    expect_result(update(UVMF_TLB_FLUSH | HYPERVISOR_VIRT_START), -XEN_EFAULT, "a bitmap in the hypervisor");
    expect_result(update(3), 0, "the fourth kind of flush, which is none");
    expect_result(update(3 | UVMF_ALL), 0, "the same for all");
}

void addresses() {
    const uint64_t mapping = make_pte(virt_to_mfn(page), kernel_ro);
    expect_result(update_va_mapping(free_window, mapping), -XEN_EINVAL, "no table there");
    expect_result(update_va_mapping(0x800000000000, mapping), -XEN_EINVAL, "not canonical");
    expect_result(update_va_mapping(0xffff7fffffffffff, mapping), -XEN_EINVAL, "not canonical");
    expect_result(update_va_mapping(HYPERVISOR_VIRT_START, mapping), -XEN_EINVAL, "in the hypervisor");
    expect_result(update_va_mapping(address_of(page), make_pte(0xffffffffful, kernel_ro)), -XEN_EPERM, "no frame");
    // The last 12 bits say nothing.
    expect_result(update_va_mapping(address_of(page) + 0xfff, mapping), 0, "within the page");
    expect(pte_mfn(entry()) == pte_mfn(mapping) && (entry() & pte_write) == 0, "it reads %lx", entry());
}

void domains() {
    const auto other = [](unsigned domain) {
        return hypercall(__HYPERVISOR_update_va_mapping_otherdomain, address_of(page),
                         make_pte(virt_to_mfn(page), kernel_rw), UVMF_INVLPG, domain);
    };
    expect_result(other(DOMID_SELF), 0, "otherdomain, which is oneself");
    expect_result(other(no_domain), -XEN_ESRCH, "no domain");
    expect_result(other(own_domid()), -XEN_ESRCH, "oneself by number");
    if (!is_initial_domain()) {
        expect_result(other(0), -XEN_EPERM, "domain 0");
    }
}

} // namespace

void test() {
    page = alloc_page();
    flush_kinds();
    addresses();
    domains();
}

} // namespace parapet::guest
