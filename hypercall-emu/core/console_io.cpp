// SPDX-License-Identifier: Apache-2.0
// console_io: the emergency console. Xen prints a guest's text only in debug builds; we hand it to the vmm's log.
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "pv-abi/console.hpp"

namespace parapet::nucleus {

/// One request's worth of text at a time; the rest by continuation, so that a long text does not hold up events.
Status do_console_io(Vcpu& vcpu, const HypercallArgs& args) {
    const u32 count = static_cast<u32>(args.a[1]);
    const GuestVa text{args.a[2]};
    switch (static_cast<u32>(args.a[0])) {
    case abi::CONSOLEIO_write: {
        const u32 part = min_of(count, doorbell::REQUEST_TEXT);
        if (part == 0)
            return 0;
        Machine& machine = *vcpu.domain->machine;
        if (!copy_from_guest(vcpu, machine.mailbox->request.text, text, part))
            return -abi::XEN_EFAULT;
        (void)machine.request(doorbell::Request::console_write, part);
        if (part == count)
            return 0;
        return continue_hypercall(vcpu, {args.a[0], count - part, (text + part).address});
    }
    default: // reading, and what is none: not for a guest domain to know
        return -abi::XEN_EPERM;
    }
}

} // namespace parapet::nucleus
