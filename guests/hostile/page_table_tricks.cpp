// SPDX-License-Identifier: Apache-2.0
// Every way we know to get at a page table other than by asking properly; the tables must be the same after.
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/traps.hpp"

namespace parapet::guest {

namespace {

constexpr uint64_t software_bits = pte_accessed | pte_dirty;
unsigned failures = 0;
uint64_t copy[table_entries];

void note(bool ok, const char* what) {
    if (!ok) {
        ++failures;
        print("fail: %s\n", what);
    }
}

bool unchanged(const uint64_t* table) {
    for (unsigned i = 0; i < table_entries; ++i) {
        if (((table[i] ^ copy[i]) & ~software_bits) != 0) {
            return false;
        }
    }
    return true;
}

void by_mappings(const uint64_t* table) {
    void* window = alloc_page();
    const uint64_t mfn = virt_to_mfn(table);
    for (const uint64_t flags : {kernel_rw, kernel_rw | pte_user, kernel_rw | 0x100, kernel_rw | pte_nx}) {
        note(update_va_mapping(address_of(window), make_pte(mfn, flags)) < 0, "mapped writable");
        note(write_entry(entry_machine_address(address_of(window)), make_pte(mfn, flags), MMU_PT_UPDATE_PRESERVE_AD) <
                 0,
             "mapped writable, keeping A and D");
    }
    // Through a large page that covers it.
    const uint64_t large = make_pte(mfn & ~0x1fful, table_flags | pte_large);
    note(write_entry(entry_machine_address(address_of(window), 2), large) < 0, "covered by a large page");
}

void by_copies(const uint64_t* table) {
    const uint64_t mfn = virt_to_mfn(table);
    mmuext_op_t op{};
    op.cmd = MMUEXT_COPY_PAGE;
    op.arg1.mfn = mfn;
    op.arg2.src_mfn = virt_to_mfn(alloc_page());
    note(mmuext_op(&op, 1) < 0, "COPY_PAGE onto it");
    note(mmuext_mfn(MMUEXT_CLEAR_PAGE, mfn) < 0, "CLEAR_PAGE");
    gnttab_copy request{};
    request.source.u.gmfn = op.arg2.src_mfn;
    request.source.domid = DOMID_SELF;
    request.dest.u.gmfn = mfn;
    request.dest.domid = DOMID_SELF;
    request.len = page_size;
    hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, &request, 1);
    note(request.status < 0, "grant copy onto it");
    note(hypercall(__HYPERVISOR_update_descriptor, mfn << page_shift, 0x00cff3000000ffff) < 0, "update_descriptor");
    uint64_t frames[1] = {mfn};
    note(hypercall(__HYPERVISOR_set_gdt, frames, 512) < 0, "as GDT");
    vcpu_register_vcpu_info place{};
    place.mfn = mfn;
    note(vcpu_op(VCPUOP_register_vcpu_info, 0, &place) < 0, "vcpu_info in it");
}

/// Hypercalls that write to a guest pointer, pointed at it: the read-only mapping must hold for the hypervisor too.
void by_results(uint64_t* table) {
    note(xen_version(XENVER_extraversion, table) == -XEN_EFAULT, "xen_version writes to it");
    note(memory_op(XENMEM_machphys_mapping, table) == -XEN_EFAULT, "memory_op writes to it");
    vcpu_register_runstate_memory_area area{};
    area.addr.v = reinterpret_cast<vcpu_runstate_info*>(table);
    vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area); // may be accepted; must not be written
    sched_op(SCHEDOP_yield);
    vcpu_time_info_t* time = reinterpret_cast<vcpu_time_info_t*>(table);
    vcpu_register_time_memory_area time_area{};
    time_area.addr.v = time;
    vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time_area);
    sched_op(SCHEDOP_yield);
    static vcpu_runstate_info own;
    area.addr.v = &own;
    vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area);
}

void by_giving_back(const uint64_t* table) {
    xen_pfn_t frame = virt_to_mfn(table);
    xen_memory_reservation request{};
    set_xen_guest_handle(request.extent_start, &frame);
    request.nr_extents = 1;
    request.domid = DOMID_SELF;
    const long given = memory_op(XENMEM_decrease_reservation, &request);
    print("info: giving a page table back: %ld\n", given); // Xen lets it go once the last reference is gone
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    for (unsigned level = 1; level <= 4; ++level) {
        auto* table = reinterpret_cast<uint64_t*>(address_of(entry_of(address_of(copy), level)) & ~(page_size - 1));
        void* spare = alloc_page(); // its entries are in the tables too: have them made before the copy
        *static_cast<volatile char*>(spare) = 0;
        memcpy(copy, table, page_size);
        by_copies(table);
        note(unchanged(table), "changed by copies");
        by_results(table);
        note(unchanged(table), "changed by results");
        by_mappings(table);
        if (level > 1) { // level 1 shows the windows
            note(unchanged(table), "changed by mappings");
        }
        catch_trap([&] { *const_cast<volatile uint64_t*>(table) = *table; });
    }
    by_giving_back(static_cast<uint64_t*>(static_cast<void*>(root_table())));
    note(xen_version(XENVER_version, nullptr) > 0, "dead");
    print("verdict: %s page_table_tricks\n", failures == 0 ? "PASS" : "FAIL");
    return failures == 0 ? 0 : 1;
}

} // namespace parapet::guest
