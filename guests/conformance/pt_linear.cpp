// SPDX-License-Identifier: Apache-2.0
// A root that maps itself writable is refused; read-only self maps are the hypervisor's choice.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pt_linear";

void test() {
    const uint64_t root_mfn = virt_to_mfn(root_table());
    const uint64_t machine4 = entry_machine_address(free_window, 4);
    expect_refused(write_entry(machine4, make_pte(root_mfn, table_flags)), "writable self map");
    const long read_only = write_entry(machine4, make_pte(root_mfn, pte_present | pte_accessed));
    print("info: read-only self map: %ld\n", read_only);
    if (read_only == 0) {
        // It shows the root's own entries and no way to write them.
        const uint64_t self = free_window | free_window >> 9 | free_window >> 18 | free_window >> 27;
        const unsigned slot = table_index(free_window, 4);
        const auto* window = reinterpret_cast<const volatile uint64_t*>(self & ~0xffful);
        expect((window[slot] & ~0x60ul) == (*entry_of(free_window, 4) & ~0x60ul), "the window shows %lx", window[slot]);
        expect_trap(catch_trap([&] { const_cast<volatile uint64_t*>(window)[slot] = 0; }), vector_pf, 3,
                    "write through the window");
        expect_result(write_entry(machine4, 0), 0, "unlink");
    }
}

} // namespace parapet::guest
