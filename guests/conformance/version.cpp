// SPDX-License-Identifier: Apache-2.0
// xen_version: every sub-operation that kernels use, and pointers.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "version";

void test() {
    const long version = xen_version(XENVER_version, nullptr);
    expect(version >> 16 >= 3 && version >> 16 < 10, "version %lx", version);
    xen_extraversion_t extra = {};
    expect_result(xen_version(XENVER_extraversion, extra), 0, "extraversion");
    xen_capabilities_info_t capabilities = {};
    expect_result(xen_version(XENVER_capabilities, capabilities), 0, "capabilities");
    expect(strncmp(capabilities, "xen-3.0-x86_64", 14) == 0, "capabilities: %s", capabilities);
    xen_changeset_info_t changeset = {};
    expect_result(xen_version(XENVER_changeset, changeset), 0, "changeset");
    xen_compile_info_t compile = {};
    expect_result(xen_version(XENVER_compile_info, &compile), 0, "compile_info");
    xen_platform_parameters_t platform = {};
    expect_result(xen_version(XENVER_platform_parameters, &platform), 0, "platform_parameters");
    expect(platform.virt_start == HYPERVISOR_VIRT_START, "virt_start is %lx", platform.virt_start);
    xen_feature_info_t features = {};
    expect_result(xen_version(XENVER_get_features, &features), 0, "get_features");
    const auto has = [&](unsigned bit) { return (features.submap >> bit & 1) != 0; };
    expect(has(XENFEAT_mmu_pt_update_preserve_ad), "no mmu_pt_update_preserve_ad");
    expect(!has(XENFEAT_writable_page_tables), "writable page tables are offered");
    expect(!has(XENFEAT_auto_translated_physmap), "auto-translated memory is offered to a PV guest");
    expect(has(XENFEAT_dom0) == is_initial_domain(), "XENFEAT_dom0 is %d", has(XENFEAT_dom0));
    features.submap_idx = 99;
    expect_refused(xen_version(XENVER_get_features, &features), "feature word 99");
    expect_result(xen_version(XENVER_pagesize, nullptr), static_cast<long>(page_size), "pagesize");
    xen_domain_handle_t handle = {};
    expect_result(xen_version(XENVER_guest_handle, handle), 0, "guest_handle");
    expect_result(xen_version(XENVER_extraversion, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    expect_result(xen_version(XENVER_extraversion, reinterpret_cast<void*>(HYPERVISOR_VIRT_START)), -XEN_EFAULT,
                  "a pointer into the hypervisor");
    expect_result(xen_version(999, nullptr), -XEN_ENOSYS, "unknown sub-operation");
}

} // namespace parapet::guest
