// SPDX-License-Identifier: Apache-2.0
#include "guests/conformance/check.hpp"

#include <cstdarg>

namespace parapet::guest {

namespace {

unsigned failures = 0;
const char* skipped = nullptr;
char first_reason[160];

void note(const char* reason) {
    if (failures++ == 0) {
        print_to(first_reason, sizeof(first_reason), "%s", reason);
    }
    print("fail: %s\n", reason);
}

} // namespace

bool expect(bool ok, const char* format, ...) {
    if (ok) {
        return true;
    }
    char reason[160];
    va_list arguments;
    va_start(arguments, format);
    print_to_list(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    note(reason);
    return false;
}

bool expect_result(long got, long wanted, const char* what) {
    return expect(got == wanted, "%s: got %ld, want %ld", what, got, wanted);
}

bool expect_type_conflict(long got, const char* what) {
    return expect(got == -XEN_EINVAL || got == -XEN_EBUSY, "%s: got %ld, want -EINVAL or -EBUSY", what, got);
}

bool expect_refused(long got, const char* what) {
    return expect(got < 0 && got > -4096, "%s: got %ld, want an error", what, got);
}

bool expect_trap(const Caught& got, unsigned vector, uint64_t error_code, const char* what, uint64_t address) {
    if (!expect(got.vector == vector, "%s: vector %d code %lx at %lx, want vector %d", what,
                static_cast<int>(got.vector), got.error_code, got.rip, static_cast<int>(vector))) {
        return false;
    }
    if (vector == no_trap) {
        return true;
    }
    return expect(got.error_code == error_code, "%s: error code %lx, want %lx", what, got.error_code, error_code) &&
           expect(address == any_address || got.cr2 == address, "%s: cr2 %lx, want %lx", what, got.cr2, address);
}

void skip(const char* reason) {
    skipped = reason;
}

uint64_t* new_table(uint64_t first_entry) {
    auto* table = static_cast<uint64_t*>(alloc_page());
    table[0] = first_entry;
    expect_result(set_read_only(table), 0, "read-only mapping of a page that becomes a table");
    return table;
}

int guest_main() {
    test();
    if (failures != 0) {
        print("verdict: FAIL %s: %s\n", test_name, first_reason);
        return 1;
    }
    if (skipped != nullptr) {
        print("verdict: SKIP %s: %s\n", test_name, skipped);
    } else {
        print("verdict: PASS %s\n", test_name);
    }
    return 0;
}

} // namespace parapet::guest
