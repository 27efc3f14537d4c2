// SPDX-License-Identifier: Apache-2.0
// iret with frames of garbage: selectors, flags and addresses that must not get it out of ring 3. case=0…7 picks one.
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/shutdown.hpp"
#include "guests/lib/traps.hpp"

namespace parapet::guest {

namespace {

struct Frame {
    uint64_t vgcf, rip, cs, rflags, rsp, ss;
};

void report(TrapFrame& frame) {
    print("hostile: exception %lu at %lx, cs %lx\n", frame.vector, frame.rip, frame.cs);
    shutdown(SHUTDOWN_poweroff);
}

extern "C" void survived() {
    uint64_t cs;
    asm volatile("movq %%cs, %0" : "=r"(cs));
    print("hostile: still here, cs %lx\n", cs);
    print((cs & 3) == 3 ? "verdict: PASS iret_garbage\n" : "verdict: FAIL iret_garbage: not in ring 3\n");
    shutdown(SHUTDOWN_poweroff);
}

} // namespace

int guest_main() {
    print("expect: any\n");
    for (const unsigned vector : {vector_gp, vector_pf, vector_np, vector_ss, vector_ts, vector_failsafe, vector_ud}) {
        set_trap_handler(vector, report);
    }
    const uint64_t stack = address_of(alloc_pages(4)) + 4 * page_size - 8;
    const auto here = reinterpret_cast<uint64_t>(&survived);
    const Frame frames[] = {
        {0, here, 0xe008, 0x202, stack, 0xe010},                                      // Xen's own ring-0 selectors
        {0, here, 0x08, 0x202, stack, 0x10},                                          // ring 0 of a common GDT
        {0, here, FLAT_KERNEL_CS & ~3ul, 0xffffffffffffffff, stack, FLAT_KERNEL_SS},  // every flag
        {0, here, 0, 0x202, stack, 0},                                                // null selectors
        {0, 0xffff830000000000, FLAT_KERNEL_CS & ~3ul, 0x202, stack, FLAT_KERNEL_SS}, // into the hypervisor
        {0, 0x0000900000000000, FLAT_KERNEL_CS & ~3ul, 0x202, 0x0000900000000000, FLAT_KERNEL_SS},
        {0x100, 0x0000900000000000, FLAT_KERNEL_CS & ~3ul, 0x202, stack, FLAT_KERNEL_SS}, // SYSRET to nowhere
        {0, here, FLAT_KERNEL_CS, 0x202, stack, FLAT_KERNEL_SS}, // to user mode, which does not exist
    };
    const Frame& frame = frames[command_line_number("case", 0) % (sizeof(frames) / sizeof(frames[0]))];
    asm volatile("pushq %[ss]; pushq %[sp]; pushq %[flags]; pushq %[cs]; pushq %[ip]; pushq %[vgcf]\n"
                 "jmp hypercall_page + 23 * 32"
                 :
                 : [ss] "r"(frame.ss), [sp] "r"(frame.rsp), [flags] "r"(frame.rflags), [cs] "r"(frame.cs),
                   [ip] "r"(frame.rip), [vgcf] "r"(frame.vgcf)
                 : "memory");
    __builtin_unreachable();
}

} // namespace parapet::guest
