// SPDX-License-Identifier: Apache-2.0
// Ends in the way that its command line says: end=poweroff (default), reboot, crash, suspend, watchdog, or reason=N;
// with exit=N the node data/exit-code is written first; with delay_ms=N it blocks that long before.
#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/shutdown.hpp"
#include "guests/lib/time.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

namespace {

struct End {
    const char* name;
    unsigned reason;
};
constexpr End ends[] = {{"poweroff", SHUTDOWN_poweroff},
                        {"reboot", SHUTDOWN_reboot},
                        {"crash", SHUTDOWN_crash},
                        {"suspend", SHUTDOWN_suspend},
                        {"watchdog", SHUTDOWN_watchdog}};

void wait(uint64_t milliseconds) {
    const uint64_t until = now_ns() + milliseconds * 1'000'000;
    while (now_ns() < until) {
        sched_poll poll{};
        poll.timeout = until;
        sched_op(SCHEDOP_poll, &poll);
    }
}

unsigned chosen_reason() {
    char name[24] = "poweroff";
    command_line_value("end", name, sizeof(name));
    for (const End& end : ends) {
        if (strcmp(end.name, name) == 0) {
            return end.reason;
        }
    }
    return static_cast<unsigned>(command_line_number("reason", SHUTDOWN_poweroff));
}

} // namespace

int guest_main() {
    const unsigned reason = chosen_reason();
    print("stop: reason %u\n", reason);
    char code[16];
    if (command_line_value("exit", code, sizeof(code))) {
        print("stop: data/exit-code %s written: %d\n", code, xenstore_write("data/exit-code", code));
    }
    wait(command_line_number("delay_ms", 0));
    shutdown(reason);
}

} // namespace parapet::guest
