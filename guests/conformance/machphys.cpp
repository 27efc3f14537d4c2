// SPDX-License-Identifier: Apache-2.0
// M2P updates: our frames only.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "machphys";

void test() {
    void* page = alloc_page();
    const uint64_t mfn = virt_to_mfn(page);
    const uint64_t pfn = virt_to_pfn(page);
    const volatile auto* m2p = reinterpret_cast<uint64_t*>(machphys_start());
    expect_result(write_entry(mfn << page_shift, 0x12345, MMU_MACHPHYS_UPDATE), 0, "update");
    expect(m2p[mfn] == 0x12345, "M2P entry is %lx", m2p[mfn]);
    expect_result(write_entry(mfn << page_shift, pfn, MMU_MACHPHYS_UPDATE), 0, "back");
    expect(m2p[mfn] == pfn, "M2P entry is %lx", m2p[mfn]);

    xen_machphys_mapping mapping{};
    expect_result(memory_op(XENMEM_machphys_mapping, &mapping), 0, "XENMEM_machphys_mapping");
    expect(mapping.max_mfn >= mfn, "max_mfn %lx is below one of our frames", mapping.max_mfn);
    xen_pfn_t extents[4] = {};
    xen_machphys_mfn_list list{};
    list.max_extents = 4;
    set_xen_guest_handle(list.extent_start, extents);
    expect_result(memory_op(XENMEM_machphys_mfn_list, &list), 0, "XENMEM_machphys_mfn_list");
    expect(list.nr_extents >= 1 && list.nr_extents <= 4, "%u extents", list.nr_extents);
    expect_result(memory_op(XENMEM_machphys_mapping, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    expect(memory_op(XENMEM_maximum_ram_page, nullptr) >= static_cast<long>(mfn),
           "XENMEM_maximum_ram_page is too small");
}

} // namespace parapet::guest
