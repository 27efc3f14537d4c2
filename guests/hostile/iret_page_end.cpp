// SPDX-License-Identifier: Apache-2.0
// iret with a frame whose last word lies on a page that is not there: the stubs of home ring0 read that word first,
// with nothing on their stack yet.
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/shutdown.hpp"

namespace parapet::guest {

int guest_main() {
    print("expect: crash\n");
    const uint64_t end = address_of(alloc_pages(2)) + page_size;
    if (update_va_mapping(end, 0) != 0) {
        print("verdict: FAIL iret_page_end: the page could not be unmapped\n");
        shutdown(SHUTDOWN_poweroff);
    }
    auto* frame = reinterpret_cast<iret_context*>(end - offsetof(iret_context, ss));
    frame->flags = 0;
    frame->rip = reinterpret_cast<uint64_t>(&guest_main);
    frame->cs = FLAT_KERNEL_CS & ~3ul;
    frame->rflags = 0x202;
    frame->rsp = end - page_size / 2;
    asm volatile("movq %[frame], %%rsp\n"
                 "movl %[number], %%eax\n"
                 "syscall"
                 :
                 : [frame] "r"(frame), [number] "i"(__HYPERVISOR_iret)
                 : "memory", "rax", "rcx", "r11");
    __builtin_unreachable();
}

} // namespace parapet::guest
