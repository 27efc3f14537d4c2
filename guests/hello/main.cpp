// SPDX-License-Identifier: Apache-2.0
// The smallest PV kernel: greets on the console, says what it was given, powers off.
#include "guests/lib/console.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"

int parapet::guest::guest_main() {
    const start_info_t& info = start_info();
    print("Hello from a PV guest on %s\n", info.magic);
    print("memory: %lu pages (%lu MiB), flags: %x, %s domain\n", info.nr_pages, info.nr_pages / 256, info.flags,
          is_initial_domain() ? "initial" : "unprivileged");
    print("command line: %s\n", reinterpret_cast<const char*>(info.cmd_line));
    return static_cast<int>(command_line_number("exit", 0));
}
