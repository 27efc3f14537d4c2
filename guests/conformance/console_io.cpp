// SPDX-License-Identifier: Apache-2.0
// console_io: writing, reading, wrong pointers and lengths.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "console_io";

void test() {
    char text[] = "console_io says hello\n";
    const long written = hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, sizeof(text) - 1, text);
    print("info: write: %ld\n", written);
    expect(written == 0 || (!is_initial_domain() && written < 0), "write: %ld", written);
    expect_refused(hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 10, 0x1000), "write from a hole");
    expect_refused(hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 10, 0x800000000000), "write, non-canonical");
    expect_refused(hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 10, HYPERVISOR_VIRT_START + 0x100000000),
                   "write from the hypervisor");
    expect_refused(hypercall(__HYPERVISOR_console_io, 99, 0, text), "unknown operation");
    const long read = hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, sizeof(text), text);
    expect(read == 0 || (!is_initial_domain() && read < 0), "read with nothing typed: %ld", read);
}

} // namespace parapet::guest
