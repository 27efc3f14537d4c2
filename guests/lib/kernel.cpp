// SPDX-License-Identifier: Apache-2.0
// From start.S to guest_main(): shared information page, memory, console, traps.
#include "guests/lib/kernel.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/shutdown.hpp"
#include "guests/lib/traps.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

namespace {

alignas(page_size) unsigned char shared_info_page[page_size];
start_info_t* info = nullptr;
bool mapped = false;

} // namespace

start_info_t& start_info() {
    return *info;
}

bool is_initial_domain() {
    return (info->flags & SIF_INITDOMAIN) != 0;
}

bool shared_info_mapped() {
    return mapped;
}

shared_info_t& shared_info() {
    return *reinterpret_cast<shared_info_t*>(shared_info_page);
}

/// Of guest.lds.
extern "C" void (*const init_array_begin[])();
extern "C" void (*const init_array_end[])();

extern "C" [[noreturn]] void guest_start(start_info_t* at_boot) {
    info = at_boot;
    memory_init(*info);
    const long error = update_va_mapping(address_of(shared_info_page), info->shared_info | kernel_rw);
    mapped = error == 0;
    console_init(*info);
    if (!mapped) {
        print("guest: cannot map the shared information page at %lx: %ld\n", info->shared_info, error);
        shutdown(SHUTDOWN_crash);
    }
    traps_init();
    for (auto* construct = init_array_begin; construct != init_array_end; ++construct) {
        (*construct)();
    }
    const int result = guest_main();
    if (result != 0) {
        char text[16];
        print_to(text, sizeof(text), "%d", result);
        xenstore_write("data/exit-code", text);
    }
    shutdown(SHUTDOWN_poweroff);
}

} // namespace parapet::guest
