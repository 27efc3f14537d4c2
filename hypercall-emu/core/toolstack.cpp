// SPDX-License-Identifier: Apache-2.0
// platform_op, sysctl, domctl: a toolstack's. Refused to a guest domain, as by Xen after a look at the argument, so
// that a program of another version finds out what is wrong.
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "pv-abi/errno.hpp"

namespace parapet::nucleus {

namespace {

/// How each of them begins; all are longer by 128 bytes for the operation.
struct Header {
    u32 command;
    u32 interface_version;
};

// Of Xen 4.17; no public header shows them to guests.
constexpr u32 PLATFORM_VERSION = 0x03000001, SYSCTL_VERSION = 0x15, DOMCTL_VERSION = 0x15;

Status refuse(Vcpu& vcpu, GuestVa arg, u32 version) {
    Header header;
    if (!get(vcpu, header, arg))
        return -abi::XEN_EFAULT;
    return header.interface_version == version ? -abi::XEN_EPERM : -abi::XEN_EACCES;
}

} // namespace

Status do_platform_op(Vcpu& vcpu, const HypercallArgs& args) {
    return refuse(vcpu, {args.a[0]}, PLATFORM_VERSION);
}

Status do_sysctl(Vcpu& vcpu, const HypercallArgs& args) {
    return refuse(vcpu, {args.a[0]}, SYSCTL_VERSION);
}

Status do_domctl(Vcpu& vcpu, const HypercallArgs& args) {
    return refuse(vcpu, {args.a[0]}, DOMCTL_VERSION);
}

} // namespace parapet::nucleus
