// SPDX-License-Identifier: Apache-2.0
#include "vmm/bus_error.hpp"

#include <poll.h>
#include <unistd.h>

namespace parapet::vmm {

namespace {

void on_bus_error(int) {
    constexpr char sentence[] = "parapet: the host has no memory left for the domain; free some, or lower --memory\n";
    constexpr int patience_ms = 1000; // for whoever reads that
    pollfd wait{STDERR_FILENO, POLLOUT, 0};
    (void)::poll(&wait, 1, patience_ms);
    if ((wait.revents & POLLOUT) == 0) {
        ::_exit(1);
    }
    (void)!::write(STDERR_FILENO, sentence, sizeof(sentence) - 1);
    ::_exit(1);
}

} // namespace

BusErrorGuard::BusErrorGuard() {
    struct sigaction action {};
    action.sa_handler = on_bus_error;
    ::sigaction(SIGBUS, &action, &before_);
}

BusErrorGuard::~BusErrorGuard() {
    ::sigaction(SIGBUS, &before_, nullptr);
}

} // namespace parapet::vmm
