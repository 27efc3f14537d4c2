// SPDX-License-Identifier: Apache-2.0
// memory_op: the queries, and each operation that is for others, with its errors.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "memory_queries";

namespace {

constexpr domid_t no_domain = 0x7000;
auto* const nowhere = reinterpret_cast<void*>(0x1000);
alignas(8) unsigned char block[256]; // zeroes: an argument large enough for any operation

long query(unsigned command, domid_t domain) {
    return memory_op(command, &domain);
}

void sizes() {
    expect_result(query(XENMEM_maximum_gpfn, DOMID_SELF), 0, "where the guest wrote nothing to shared_info");
    shared_info().arch.max_pfn = 0x1234;
    for (const unsigned command : {XENMEM_current_reservation, XENMEM_maximum_reservation, XENMEM_maximum_gpfn}) {
        const long own = query(command, DOMID_SELF);
        expect(own > 0 || (command == XENMEM_maximum_reservation && is_initial_domain()), "query %u: %ld", command,
               own);
        expect_result(query(command, own_domid()), own, "the same by number");
        expect_result(query(command, no_domain), -XEN_ESRCH, "of no domain");
        expect_result(memory_op(command, nowhere), -XEN_EFAULT, "bad pointer");
        if (!is_initial_domain()) {
            expect_result(query(command, 0), -XEN_EPERM, "of domain 0");
        }
    }
    expect(query(XENMEM_maximum_reservation, DOMID_SELF) >= query(XENMEM_current_reservation, DOMID_SELF) ||
               is_initial_domain(),
           "more than the maximum");
    expect_result(query(XENMEM_maximum_gpfn, DOMID_SELF), 0x1233, "what the guest wrote to shared_info, less 1");
    expect(memory_op(XENMEM_maximum_ram_page, nowhere) > 0, "maximum_ram_page takes no argument");
}

void machphys() {
    xen_pfn_t extents[64];
    xen_machphys_mfn_list list{};
    set_xen_guest_handle(list.extent_start, extents);
    const auto fill = [&](unsigned most) {
        memset(extents, 0xee, sizeof(extents));
        list.max_extents = most;
        list.nr_extents = 99;
        expect_result(memory_op(XENMEM_machphys_mfn_list, &list), 0, "machphys_mfn_list");
        return list.nr_extents;
    };
    expect(fill(0) == 0, "%u extents of none", list.nr_extents);
    expect(fill(1) == 1 && extents[0] != 0 && extents[1] == 0xeeeeeeeeeeeeeeee, "%u extents of 1", list.nr_extents);
    const uint64_t table =
        (static_cast<uint64_t>(memory_op(XENMEM_maximum_ram_page, nullptr)) * 8 + (2ul << 20) - 1) >> 21;
    expect(fill(64) >= (table < 64 ? table : 64), "%u extents for %lu times 2 MiB", list.nr_extents, table);
    set_xen_guest_handle(list.extent_start, static_cast<xen_pfn_t*>(nowhere));
    list.max_extents = 1;
    expect_result(memory_op(XENMEM_machphys_mfn_list, &list), -XEN_EFAULT, "a list at a hole");
    expect_result(memory_op(XENMEM_machphys_mfn_list, nowhere), -XEN_EFAULT, "bad pointer");
    expect_result(memory_op(XENMEM_machphys_mapping, nowhere), -XEN_EFAULT, "bad pointer");
    void* page = alloc_page();
    expect_result(set_read_only(page), 0, "read-only");
    expect_result(memory_op(XENMEM_machphys_mapping, page), -XEN_EFAULT, "a read-only result");
    expect_result(memory_op(XENMEM_machphys_compat_mfn_list, block), -XEN_EOPNOTSUPP, "the table of 32-bit guests");
}

/// A PV guest's own map of pseudo-physical memory is in its hands.
void physmap() {
    xen_add_to_physmap add{};
    add.domid = DOMID_SELF;
    add.space = XENMAPSPACE_shared_info;
    expect_result(memory_op(XENMEM_add_to_physmap, &add), -XEN_EACCES, "add_to_physmap");
    add.domid = no_domain;
    expect_result(memory_op(XENMEM_add_to_physmap, &add), -XEN_ESRCH, "for no domain");
    expect_result(memory_op(XENMEM_add_to_physmap, nowhere), -XEN_EFAULT, "bad pointer");
    xen_add_to_physmap_batch batch{};
    batch.domid = DOMID_SELF;
    batch.space = XENMAPSPACE_shared_info;
    batch.size = 1;
    expect_result(memory_op(XENMEM_add_to_physmap_batch, &batch), -XEN_EACCES, "add_to_physmap_batch");
    batch.domid = no_domain;
    expect_result(memory_op(XENMEM_add_to_physmap_batch, &batch), -XEN_ESRCH, "for no domain");
    expect_result(memory_op(XENMEM_add_to_physmap_batch, nowhere), -XEN_EFAULT, "bad pointer");
    xen_remove_from_physmap gone{};
    gone.domid = DOMID_SELF;
    gone.gpfn = virt_to_mfn(alloc_page());
    expect_result(memory_op(XENMEM_remove_from_physmap, &gone), -XEN_EACCES, "remove_from_physmap");
    gone.gpfn = 0xfffffffff;
    expect_result(memory_op(XENMEM_remove_from_physmap, &gone), -XEN_EACCES, "of no frame");
    gone.domid = no_domain;
    expect_result(memory_op(XENMEM_remove_from_physmap, &gone), -XEN_ESRCH, "for no domain");
    expect_result(memory_op(XENMEM_remove_from_physmap, nowhere), -XEN_EFAULT, "bad pointer");
    if (!is_initial_domain()) {
        add.domid = batch.domid = gone.domid = 0;
        expect_result(memory_op(XENMEM_add_to_physmap, &add), -XEN_EACCES, "for domain 0");
        expect_result(memory_op(XENMEM_add_to_physmap_batch, &batch), -XEN_EACCES, "for domain 0");
        expect_result(memory_op(XENMEM_remove_from_physmap, &gone), -XEN_EACCES, "for domain 0");
    }
}

/// What a guest domain was given none of, or may not ask. By number what the public headers show to toolstacks only.
void of_others() {
    if (is_initial_domain()) {
        return;
    }
    const struct {
        unsigned command;
        long zeroes, nowhere; ///< of an argument that is all zeroes (about domain 0), and of one at a hole
        const char* what;
    } rows[] = {
        {8, -XEN_ENOSYS, -XEN_ENOSYS, "8, which is none"},
        {XENMEM_machine_memory_map, -XEN_EPERM, -XEN_EPERM, "machine_memory_map"},
        {XENMEM_set_memory_map, -XEN_EPERM, -XEN_EFAULT, "set_memory_map"},
        {XENMEM_set_pod_target, -XEN_EINVAL, -XEN_EFAULT, "set_pod_target"},
        {XENMEM_get_pod_target, -XEN_EINVAL, -XEN_EFAULT, "get_pod_target"},
        {18, 0, 0, "get_sharing_freed_pages"},
        {19, 0, 0, "get_sharing_shared_pages"},
        {20, -XEN_ENOSYS, -XEN_ENOSYS, "paging_op"},
        {21, -XEN_EINVAL, -XEN_EFAULT, "access_op"},
        {22, -XEN_ENOSYS, -XEN_ENOSYS, "sharing_op"},
        {24, -XEN_EPERM, -XEN_EFAULT, "claim_pages"},
        {XENMEM_get_vnumainfo, -XEN_EPERM, -XEN_EFAULT, "get_vnumainfo"},
        {27, 0, -XEN_EFAULT, "reserved_device_memory_map"},
        {XENMEM_acquire_resource, -XEN_EPERM, -XEN_EFAULT, "acquire_resource"},
        {29, -XEN_ENOSYS, -XEN_ENOSYS, "29, which is none"},
        {63, -XEN_ENOSYS, -XEN_ENOSYS, "63, which is none"},
    };
    for (const auto& row : rows) {
        memset(block, 0, sizeof(block));
        expect_result(memory_op(row.command, block), row.zeroes, row.what);
        expect_result(memory_op(row.command, nowhere), row.nowhere, row.what);
    }
    // A toolstack may have set a map, as xl does.
    memset(block, 0, sizeof(block));
    const long map = memory_op(XENMEM_memory_map, block);
    print("info: memory_map: %ld\n", map);
    expect(map == 0 || map == -XEN_ENOSYS, "memory_map: %ld", map);
    xen_vnuma_topology_info nodes{};
    nodes.domid = DOMID_SELF;
    expect_result(memory_op(XENMEM_get_vnumainfo, &nodes), -XEN_EOPNOTSUPP, "get_vnumainfo of oneself");
    nodes.domid = no_domain;
    expect_result(memory_op(XENMEM_get_vnumainfo, &nodes), -XEN_ESRCH, "get_vnumainfo of no domain");
    nodes.pad = 1;
    expect_result(memory_op(XENMEM_get_vnumainfo, &nodes), -XEN_EINVAL, "get_vnumainfo with padding");
    xen_pod_target pod{};
    for (const unsigned command : {XENMEM_set_pod_target, XENMEM_get_pod_target}) {
        pod.domid = DOMID_SELF;
        expect_result(memory_op(command, &pod), -XEN_EINVAL, "pod_target of oneself");
        pod.domid = no_domain;
        expect_result(memory_op(command, &pod), -XEN_ESRCH, "pod_target of no domain");
    }
    xen_mem_acquire_resource resource{};
    resource.domid = no_domain;
    expect_result(memory_op(XENMEM_acquire_resource, &resource), -XEN_ESRCH, "acquire_resource of no domain");
    resource.domid = own_domid();
    expect_result(memory_op(XENMEM_acquire_resource, &resource), -XEN_EPERM, "acquire_resource of oneself");
    resource.pad = 1;
    expect_result(memory_op(XENMEM_acquire_resource, &resource), -XEN_EINVAL, "acquire_resource with padding");
}

} // namespace

void test() {
    sizes();
    machphys();
    physmap();
    of_others();
}

} // namespace parapet::guest
