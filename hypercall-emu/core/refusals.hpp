// SPDX-License-Identifier: Apache-2.0
// Calls that are not for a guest domain: refused, as by Xen, after a look at the argument.
#pragma once

#include "hypercall-emu/core/domain.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "pv-abi/errno.hpp"

namespace parapet::nucleus {

/// `refusal`, if only the argument can be read; else -EFAULT.
template <typename Operation>
[[nodiscard]] Status refuse(Vcpu& vcpu, GuestVa arg, Status refusal = -abi::XEN_EPERM) {
    Operation op;
    return get(vcpu, op, arg) ? refusal : -abi::XEN_EFAULT;
}

/// The same for a call that names a domain: oneself or domain 0, others are -ESRCH.
template <typename Operation>
[[nodiscard]] Status refuse_for_domain(Vcpu& vcpu, GuestVa arg, Status refusal) {
    Operation op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    return op.domid == 0 || vcpu.domain->is_self(op.domid) ? refusal : -abi::XEN_ESRCH;
}

} // namespace parapet::nucleus
