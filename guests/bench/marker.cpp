// SPDX-License-Identifier: Apache-2.0
// The markers are the lines "@begin <name>" and "@end <name>" written through HYPERVISOR_console_io, whatever the
// console of the domain is. Only this file knows. Instructions to count lie between the return of the first hypercall
// and the entry of the second.
#include "guests/bench/marker.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"

namespace parapet::guest::bench {

namespace {

void mark(const char* what, const char* name) {
    char line[64];
    const size_t length = print_to(line, sizeof(line), "@%s %s\n", what, name);
    hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length, line);
}

} // namespace

void marker_begin(const char* name) {
    mark("begin", name);
}

void marker_end(const char* name) {
    mark("end", name);
}

} // namespace parapet::guest::bench
