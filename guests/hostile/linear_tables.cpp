// SPDX-License-Identifier: Apache-2.0
// Attacks on linear page tables, in a domain that may have them; Xen's advisories XSA-182, 240 and 243 are of this
// kind. No table is written other than by the hypervisor, nothing of the hypervisor shows, and no count is lost.
// options: --linear-page-tables
#include <initializer_list>

#include "guests/hostile/findings.hpp"
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/traps.hpp"

namespace parapet::guest {

namespace {

constexpr uint64_t self_flags = pte_present | pte_user | pte_accessed;
constexpr uint64_t window_va = 0x20000000000; // slot 4: nothing is there
constexpr unsigned slot = 4;
Findings findings{"linear_tables"};

uint64_t slot_address() {
    return entry_machine_address(window_va, 4);
}

/// The root's window onto tables: with the indices i3, i2, i1 below the slot that names it.
uint64_t* through(uint64_t i3, uint64_t i2, uint64_t i1) {
    return reinterpret_cast<uint64_t*>(window_va | i3 << 30 | i2 << 21 | i1 << 12);
}

uint64_t* table_of(uint64_t entry) {
    auto* const table = static_cast<uint64_t*>(alloc_page());
    table[0] = entry;
    findings.check(set_read_only(table) == 0, "a table does not become read-only");
    return table;
}

/// XSA-182: an entry that is there already becomes writable by a change that looks harmless.
void becomes_writable(uint64_t root) {
    for (const uint64_t bits : {pte_write, pte_write | pte_dirty, pte_write | 1ul << 9, pte_write | pte_nx}) {
        for (const unsigned command : {MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD}) {
            findings.check(write_entry(slot_address(), make_pte(root, self_flags | bits), command) < 0,
                           "writable by bits %lx, command %u", bits, command);
        }
    }
    findings.check((root_table()[slot] & pte_write) == 0, "the entry is %lx", root_table()[slot]);
}

/// XSA-240: tables of one level in a chain or circle, so that taking one apart takes the next apart.
void chains(uint64_t root) {
    uint64_t* const first = table_of(0);
    uint64_t* const second = table_of(make_pte(virt_to_mfn(first), self_flags));
    for (const unsigned command : {MMUEXT_PIN_L4_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L2_TABLE}) {
        findings.check(mmuext_mfn(command, virt_to_mfn(first)) == 0, "the first is not pinned by %u", command);
        findings.check(mmuext_mfn(command, virt_to_mfn(second)) < 0, "a chain is pinned by %u", command);
        findings.check(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(first)) == 0, "the first is not unpinned");
    }
    findings.check(mmuext_mfn(MMUEXT_PIN_L4_TABLE, virt_to_mfn(first)) == 0, "a root");
    findings.check(write_entry(slot_address() + 8, make_pte(virt_to_mfn(first), self_flags)) < 0, "another root");
    findings.check(write_entry(virt_to_mfn(first) << page_shift, make_pte(root, self_flags)) < 0, "in a circle");
    findings.check(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(first)) == 0, "unpin");
    findings.check(set_writable(first) == 0 && set_writable(second) == 0, "references of a chain are left");
}

/// XSA-243: a table that names itself, before it is validated and when it goes.
void comes_and_goes() {
    for (const unsigned command : {MMUEXT_PIN_L4_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L2_TABLE}) {
        auto* const table = static_cast<uint64_t*>(alloc_page());
        for (const uint64_t flags : {self_flags | pte_write, self_flags}) {
            table[1] = make_pte(virt_to_mfn(table), flags);
            table[511] = table[1];
            findings.check(set_read_only(table) == 0, "not read-only");
            const bool taken = mmuext_mfn(command, virt_to_mfn(table)) == 0;
            findings.check(taken == (flags == self_flags), "pinned with flags %lx by %u: %u", flags, command, taken);
            if (taken) {
                findings.check(set_writable(table) < 0, "a table becomes writable");
                findings.check(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(table)) == 0, "not unpinned");
            }
            findings.check(set_writable(table) == 0, "references are left behind, flags %lx", flags);
        }
    }
    auto* const last = static_cast<uint64_t*>(alloc_page());
    last[0] = make_pte(virt_to_mfn(last), self_flags);
    findings.check(set_read_only(last) == 0 && mmuext_mfn(MMUEXT_PIN_L1_TABLE, virt_to_mfn(last)) == 0,
                   "a table of the last level may map itself read-only");
    findings.check(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(last)) == 0, "not unpinned");
    findings.check(write_entry(entry_machine_address(address_of(last)), make_pte(virt_to_mfn(last), kernel_rw)) == 0,
                   "its references are left behind");
}

/// The hypervisor writes for the guest, at addresses of the guest's choice: entries above the last level say
/// "writable".
void by_the_hypervisor() {
    const uint64_t va = address_of(&findings);
    uint64_t* const l1 = through(table_index(va, 4), table_index(va, 3), table_index(va, 2));
    uint64_t* const l2 = through(slot, table_index(va, 4), table_index(va, 3));
    uint64_t* const l4 = through(slot, slot, slot);
    for (uint64_t* const target : {l1, l2, l4}) {
        const uint64_t before = target[0];
        findings.check(xen_version(XENVER_extraversion, target) < 0, "a hypercall writes through the window");
        findings.check(update_va_mapping(address_of(target), 0) < 0, "update_va_mapping through the window");
        findings.check(update_va_mapping(address_of(target), make_pte(virt_to_mfn(alloc_page()), kernel_rw)) < 0,
                       "update_va_mapping through the window, to a page");
        const Caught caught = catch_trap([&] { *static_cast<volatile uint64_t*>(target) = 0; });
        findings.check(caught.vector == vector_pf, "a store through the window: vector %u", caught.vector);
        findings.check(((target[0] ^ before) & ~(pte_accessed | pte_dirty)) == 0, "a table was written");
    }
}

/// Through the slots that are the hypervisor's, its own tables would follow.
void at_the_hypervisor() {
    for (uint64_t hole = 257; hole <= 271; ++hole) {
        for (const uint64_t below : {0, 1, 511}) {
            const Caught caught = catch_trap([&] { (void)*static_cast<volatile uint64_t*>(through(hole, below, 0)); });
            findings.check(caught.vector == vector_pf || hole == 263, "slot %lu shows something", hole);
        }
    }
}

/// A table that shows in the window is given back: it must not show any more.
void given_back() {
    const uint64_t va = window_va + (2ul << 39);
    findings.check(map_page(va, virt_to_mfn(alloc_page()), kernel_rw) == 0, "no tables");
    const uint64_t l1 = pte_mfn(*entry_of(va, 2));
    const auto* const shown = static_cast<volatile uint64_t*>(through(table_index(va, 4), 0, 0));
    findings.check(*shown == *entry_of(va, 1), "the window shows %lx", *shown);
    findings.check(write_entry(entry_machine_address(va, 2), 0) == 0, "not unlinked");
    xen_memory_reservation_t reservation{};
    xen_pfn_t frame = l1;
    set_xen_guest_handle(reservation.extent_start, &frame);
    reservation.nr_extents = 1;
    reservation.domid = DOMID_SELF;
    (void)update_va_mapping(address_of(mfn_to_virt(l1)), 0);
    findings.check(memory_op(XENMEM_decrease_reservation, &reservation) == 1, "the table's frame stays");
    const Caught caught = catch_trap([&] { (void)*shown; });
    findings.check(caught.vector == vector_pf, "a frame that was given back shows");
}

} // namespace

int guest_main() {
    const uint64_t root = virt_to_mfn(root_table());
    if (write_entry(slot_address(), make_pte(root, self_flags)) != 0) {
        findings.skip("this hypervisor takes no linear page tables");
        return findings.finish();
    }
    becomes_writable(root);
    by_the_hypervisor();
    at_the_hypervisor();
    given_back();
    chains(root);
    comes_and_goes();
    findings.check(write_entry(slot_address(), 0) == 0, "the window stays");
    return findings.finish();
}

} // namespace parapet::guest
