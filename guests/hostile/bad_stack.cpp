// SPDX-License-Identifier: Apache-2.0
// An exception while the stack pointer is somewhere that no frame can be pushed to.
// case=hole (default: the hypervisor's own memory), m2p, root (a page table), text, unmapped, noncanonical, wrap
#include "guests/lib/console.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest {

namespace {

uint64_t chosen_stack() {
    char where[16] = "hole";
    command_line_value("case", where, sizeof(where));
    const struct {
        const char* name;
        uint64_t stack;
    } cases[] = {
        {"hole", 0xffff830000001000},
        {"m2p", machphys_start() + 8 * page_size},
        {"root", address_of(root_table()) + page_size},
        {"text", virt_base + 0x101000},
        {"unmapped", 0x5000},
        {"noncanonical", 0x0000900000000000},
        {"wrap", 16},
    };
    for (const auto& one : cases) {
        if (strcmp(one.name, where) == 0) {
            return one.stack;
        }
    }
    return cases[0].stack;
}

} // namespace

int guest_main() {
    print("expect: crash\n");
    const uint64_t stack = chosen_stack();
    print("hostile: stack at %lx\n", stack);
    asm volatile("movq %0, %%rsp; ud2" : : "r"(stack) : "memory");
    __builtin_unreachable();
}

} // namespace parapet::guest
