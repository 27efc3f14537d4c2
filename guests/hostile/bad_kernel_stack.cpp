// SPDX-License-Identifier: Apache-2.0
// A system call from user mode while the registered kernel stack is unusable; case= as an address, or 0x5000.
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/user.hpp"

extern "C" char enter_kernel[], enter_kernel_end[];
asm(".text\n enter_kernel: xorl %eax, %eax; syscall; ud2\n enter_kernel_end:");

namespace parapet::guest {

int guest_main() {
    print("expect: crash\n");
    const long made = user_init();
    const long switched =
        hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, command_line_number("case", 0xffff830000001000));
    print("hostile: user mode %ld, stack_switch %ld\n", made, switched);
    user_call(enter_kernel, enter_kernel_end, 0);
    return 1;
}

} // namespace parapet::guest
