// SPDX-License-Identifier: Apache-2.0
// xen_version and console_io: pointers of every sub-operation, results that do not fit their page, and numbers that are
// none.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "version_edges";

namespace {

void versions() {
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    void* read_only = alloc_page();
    expect_result(set_read_only(read_only), 0, "read-only");
    for (const unsigned command :
         {XENVER_extraversion, XENVER_compile_info, XENVER_capabilities, XENVER_changeset, XENVER_platform_parameters,
          XENVER_get_features, XENVER_guest_handle, XENVER_commandline}) {
        for (void* bad : {reinterpret_cast<void*>(0x1000), reinterpret_cast<void*>(HYPERVISOR_VIRT_START), read_only,
                          static_cast<void*>(pages + page_size - 4)}) {
            expect_result(xen_version(command, bad), -XEN_EFAULT, "a result that cannot be written");
        }
    }
    expect_result(xen_version(XENVER_version, reinterpret_cast<void*>(0x1000)), xen_version(XENVER_version, nullptr),
                  "version takes no argument");
    expect_result(xen_version(XENVER_pagesize, read_only), -XEN_EINVAL, "pagesize has none");
    xen_feature_info_t features{};
    for (const uint32_t index : {1u, 99u, ~0u}) {
        features.submap_idx = index;
        expect_result(xen_version(XENVER_get_features, &features), -XEN_EINVAL, "features beyond the first word");
    }
    for (const unsigned command : {11u, 999u, ~0u}) {
        expect_result(xen_version(command, pages), -XEN_ENOSYS, "a sub-operation that is none");
    }
    if (!is_initial_domain()) {
        xen_commandline_t line = {};
        expect_result(xen_version(XENVER_commandline, line), 0, "commandline");
        expect(strcmp(line, "<denied>") == 0, "it says %s", line);
        expect_result(xen_version(XENVER_build_id, pages), -XEN_EPERM, "build_id");
    }
}

void console() {
    if (is_initial_domain()) {
        return;
    }
    for (const unsigned command : {2u, 99u, ~0u}) {
        expect_result(hypercall(__HYPERVISOR_console_io, command, 0, 0), -XEN_EPERM, "a command that is none");
    }
    expect_result(hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, 10, alloc_page()), -XEN_EPERM, "read");
}

} // namespace

void test() {
    versions();
    console();
}

} // namespace parapet::guest
