// SPDX-License-Identifier: Apache-2.0
// physdev_op of a domain without devices: each operation's answer to an argument of zeroes and to one at a hole; I/O
// privilege and bitmap; the page of pending ends of interrupts. And its old form.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "physdev";

namespace {

auto* const nowhere = reinterpret_cast<void*>(0x1000);
alignas(8) unsigned char block[256];

long physdev(unsigned command, void* argument) {
    return hypercall(__HYPERVISOR_physdev_op, command, argument);
}

void refusals() {
    const struct {
        unsigned command;
        long zeroes, at_a_hole;
        const char* what;
    } rows[] = {
        {0, -XEN_ENOSYS, -XEN_ENOSYS, "0, which is none"},
        {4, 0, 0, "IRQ_UNMASK_NOTIFY"},
        {PHYSDEVOP_irq_status_query, 0, -XEN_EFAULT, "irq_status_query"},
        {PHYSDEVOP_apic_read, -XEN_EPERM, -XEN_EFAULT, "apic_read"},
        {PHYSDEVOP_apic_write, -XEN_EPERM, -XEN_EFAULT, "apic_write"},
        {PHYSDEVOP_alloc_irq_vector, -XEN_EPERM, -XEN_EFAULT, "alloc_irq_vector"},
        {PHYSDEVOP_free_irq_vector, -XEN_ENOSYS, -XEN_ENOSYS, "free_irq_vector"},
        {PHYSDEVOP_eoi, -XEN_EINVAL, -XEN_EFAULT, "eoi"},
        {PHYSDEVOP_map_pirq, -XEN_EPERM, -XEN_EFAULT, "map_pirq"},
        {PHYSDEVOP_unmap_pirq, -XEN_EPERM, -XEN_EFAULT, "unmap_pirq"},
        {PHYSDEVOP_manage_pci_add, -XEN_EPERM, -XEN_EFAULT, "manage_pci_add"},
        {PHYSDEVOP_manage_pci_remove, -XEN_EPERM, -XEN_EFAULT, "manage_pci_remove"},
        {18, -XEN_ENOSYS, -XEN_ENOSYS, "18, which is none"},
        {PHYSDEVOP_restore_msi, -XEN_EPERM, -XEN_EFAULT, "restore_msi"},
        {PHYSDEVOP_manage_pci_add_ext, -XEN_EPERM, -XEN_EFAULT, "manage_pci_add_ext"},
        {PHYSDEVOP_setup_gsi, -XEN_EPERM, -XEN_EFAULT, "setup_gsi"},
        {22, -XEN_ENOSYS, -XEN_ENOSYS, "22, which is none"},
        {PHYSDEVOP_pci_mmcfg_reserved, -XEN_EPERM, -XEN_EPERM, "pci_mmcfg_reserved"},
        {PHYSDEVOP_pci_device_add, -XEN_EPERM, -XEN_EFAULT, "pci_device_add"},
        {PHYSDEVOP_pci_device_remove, -XEN_EPERM, -XEN_EFAULT, "pci_device_remove"},
        {PHYSDEVOP_restore_msi_ext, -XEN_EPERM, -XEN_EFAULT, "restore_msi_ext"},
        {PHYSDEVOP_dbgp_op, -XEN_EPERM, -XEN_EPERM, "dbgp_op"},
        {PHYSDEVOP_prepare_msix, -XEN_EPERM, -XEN_EFAULT, "prepare_msix"},
        {PHYSDEVOP_release_msix, -XEN_EPERM, -XEN_EFAULT, "release_msix"},
        {32, -XEN_ENOSYS, -XEN_ENOSYS, "32, which is none"},
        {~0u, -XEN_ENOSYS, -XEN_ENOSYS, "2^32-1, which is none"},
    };
    for (const auto& row : rows) {
        memset(block, 0, sizeof(block));
        expect_result(physdev(row.command, block), row.zeroes, row.what);
        expect_result(physdev(row.command, nowhere), row.at_a_hole, row.what);
    }
}

void interrupts() {
    physdev_irq_status_query query{};
    expect_result(physdev(PHYSDEVOP_irq_status_query, &query), 0, "status of interrupt 0");
    expect(query.flags == XENIRQSTAT_needs_eoi, "its flags are %x", query.flags);
    query.irq = ~0u;
    expect_result(physdev(PHYSDEVOP_irq_status_query, &query), -XEN_EINVAL, "status of interrupt 2^32-1");
    // Xen gives out a number, though nothing can be done with it.
    physdev_get_free_pirq pirq{};
    const long free = physdev(PHYSDEVOP_get_free_pirq, &pirq);
    print("info: get_free_pirq: %ld, %u\n", free, pirq.pirq);
    expect(free == 0 || free == -XEN_ENOSPC, "get_free_pirq: %ld", free);
    expect_result(physdev(PHYSDEVOP_get_free_pirq, nowhere), -XEN_EFAULT, "get_free_pirq, bad pointer");
    physdev_eoi eoi{~0u};
    expect_result(physdev(PHYSDEVOP_eoi, &eoi), -XEN_EINVAL, "end of interrupt 2^32-1");
    physdev_map_pirq map{};
    map.domid = DOMID_SELF;
    expect_result(physdev(PHYSDEVOP_map_pirq, &map), -XEN_EPERM, "map_pirq of oneself");
    map.domid = 0x7000;
    expect_result(physdev(PHYSDEVOP_map_pirq, &map), -XEN_ESRCH, "map_pirq of no domain");
    physdev_unmap_pirq unmap{};
    unmap.domid = DOMID_SELF;
    expect_result(physdev(PHYSDEVOP_unmap_pirq, &unmap), -XEN_EPERM, "unmap_pirq of oneself");
    unmap.domid = 0x7000;
    expect_result(physdev(PHYSDEVOP_unmap_pirq, &unmap), -XEN_ESRCH, "unmap_pirq of no domain");
    evtchn_bind_pirq bind{};
    for (const uint32_t number : {0u, 16u}) {
        bind.pirq = number;
        expect_result(event_channel_op(EVTCHNOP_bind_pirq, &bind), -XEN_EPERM, "bind_pirq");
    }
    bind.pirq = 0x100000;
    expect_result(event_channel_op(EVTCHNOP_bind_pirq, &bind), -XEN_EINVAL, "bind_pirq of what is none");
    expect_result(event_channel_op(EVTCHNOP_bind_pirq, nowhere), -XEN_EFAULT, "bind_pirq, bad pointer");
}

void privilege() {
    physdev_set_iopl iopl{};
    for (const unsigned level : {0u, 1u, 2u, 3u, 0u}) {
        iopl.iopl = level;
        expect_result(physdev(PHYSDEVOP_set_iopl, &iopl), 0, "set_iopl");
    }
    for (const unsigned level : {4u, ~0u}) {
        iopl.iopl = level;
        expect_result(physdev(PHYSDEVOP_set_iopl, &iopl), -XEN_EINVAL, "set_iopl of what is none");
    }
    expect_result(physdev(PHYSDEVOP_set_iopl, nowhere), -XEN_EFAULT, "set_iopl, bad pointer");
    physdev_set_iobitmap bits{};
    auto* bitmap = static_cast<uint8_t*>(alloc_pages(2));
    const auto set = [&](void* at, unsigned ports) {
        set_xen_guest_handle(bits.bitmap, static_cast<uint8_t*>(at));
        bits.nr_ports = ports;
        return physdev(PHYSDEVOP_set_iobitmap, &bits);
    };
    expect_result(set(bitmap, 65536), 0, "all ports");
    expect_result(set(bitmap, 65537), -XEN_EINVAL, "more ports than there are");
    expect_result(set(reinterpret_cast<void*>(HYPERVISOR_VIRT_START), 1), -XEN_EINVAL, "a bitmap in the hypervisor");
    expect_result(set(nowhere, 65536), 0, "a bitmap that is not mapped");
    expect_result(set(nullptr, 0), 0, "none");
    expect_result(physdev(PHYSDEVOP_set_iobitmap, nowhere), -XEN_EFAULT, "set_iobitmap, bad pointer");
}

/// Last, as it cannot be undone.
void eoi_page() {
    physdev_pirq_eoi_gmfn page{};
    const auto answers = [&](uint64_t mfn, long wanted, const char* what) {
        page.gmfn = mfn;
        expect_result(physdev(PHYSDEVOP_pirq_eoi_gmfn_v2, &page), wanted, what);
    };
    answers(0xfffffffff, -XEN_EINVAL, "a frame that is not there");
    answers(virt_to_mfn(root_table()), -XEN_EINVAL, "a page table");
    expect_result(physdev(PHYSDEVOP_pirq_eoi_gmfn_v2, nowhere), -XEN_EFAULT, "bad pointer");
    void* own = alloc_page();
    answers(virt_to_mfn(own), 0, "a page of one's own");
    answers(virt_to_mfn(own), -XEN_EBUSY, "once more");
    expect_result(physdev(PHYSDEVOP_pirq_eoi_gmfn_v1, &page), -XEN_EBUSY, "the other way");
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, virt_to_mfn(own)), -XEN_EINVAL, "the page as a page table");
}

long old_form(uint32_t command, uint32_t first = 0) {
    struct {
        uint32_t command, pad;
        uint32_t words[8];
    } request = {command, 0, {first}};
    return hypercall(__HYPERVISOR_physdev_op_compat, &request);
}

void old_forms() {
    expect_result(old_form(PHYSDEVOP_set_iopl, 1), 0, "set_iopl, old form");
    expect_result(old_form(PHYSDEVOP_set_iopl, 4), -XEN_EINVAL, "set_iopl 4, old form");
    expect_result(old_form(PHYSDEVOP_irq_status_query), 0, "irq_status_query, old form");
    for (const unsigned command : {PHYSDEVOP_apic_read, PHYSDEVOP_apic_write, PHYSDEVOP_alloc_irq_vector}) {
        expect_result(old_form(command), -XEN_EPERM, "what is domain 0's, old form");
    }
    expect_result(old_form(PHYSDEVOP_eoi), -XEN_EINVAL, "eoi, old form");
    expect_result(old_form(PHYSDEVOP_map_pirq), -XEN_EPERM, "map_pirq, old form");
    for (const unsigned command : {0u, 18u, 999u}) {
        expect_result(old_form(command), -XEN_ENOSYS, "what is none, old form");
    }
    expect_result(hypercall(__HYPERVISOR_physdev_op_compat, nowhere), -XEN_EFAULT, "old form, bad pointer");
}

} // namespace

void test() {
    if (is_initial_domain()) {
        skip("for a domain without devices");
        return;
    }
    refusals();
    interrupts();
    privilege();
    old_forms();
    eoi_page();
}

} // namespace parapet::guest
