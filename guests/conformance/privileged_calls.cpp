// SPDX-License-Identifier: Apache-2.0
// The toolstack's hypercalls, as a guest domain's: refused, after a look at their argument.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "privileged_calls";

namespace {

/// What each of them begins with.
struct Header {
    uint32_t command;
    uint32_t interface_version;
};

constexpr uint32_t platform_version = 0x03000001, sysctl_version = 0x15, domctl_version = 0x15; // of Xen 4.17

void answers(unsigned number, uint32_t version, const char* name) {
    alignas(8) static unsigned char block[512];
    memset(block, 0, sizeof(block));
    auto& header = *reinterpret_cast<Header*>(block);
    header = {1, version};
    expect_result(hypercall(number, block), -XEN_EPERM, name);
    header.interface_version = 1;
    expect_result(hypercall(number, block), -XEN_EACCES, name);
    expect_result(hypercall(number, 0x1000), -XEN_EFAULT, name);
}

} // namespace

void test() {
    if (is_initial_domain()) {
        skip("for a domain without privileges");
        return;
    }
    answers(__HYPERVISOR_platform_op, platform_version, "platform_op");
    answers(__HYPERVISOR_sysctl, sysctl_version, "sysctl");
    answers(__HYPERVISOR_domctl, domctl_version, "domctl");
    expect_result(hypercall(__HYPERVISOR_kexec_op, 0, 0x1000), -XEN_EPERM, "kexec_op");
    // Profiling, hvm_op, performance counters, device models, the hypervisor's file system, machine checks: real Xen
    // has them, but for none of them a guest domain gets more than an error.
    for (const unsigned number : {31u, 34u, 40u, 41u, 42u, 48u, 49u}) {
        expect_refused(hypercall(number, 0x1000, 0x1000), "what is for other kinds of domain");
    }
    for (const unsigned number : {38u, 39u, 50u, 51u, 52u, 53u, 54u, 55u}) {
        expect_result(hypercall(number, 0, 0), -XEN_ENOSYS, "a number without a hypercall");
    }
}

} // namespace parapet::guest
