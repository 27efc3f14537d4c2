// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the whole hosted core. An input is a sequence of steps of a hostile guest and its host: hypercalls of
// every kind through dispatch (alone, in multicalls, continued with forged arguments), faulting instructions, `iret`,
// interrupts, uses of grants, with writes to guest memory between two reads of the core. What must hold is checked
// after each step (core_fuzz_check.hpp).
//
// Build with clang, target core_fuzz; docs/security.md says how it is run. core_fuzz_replay.cpp runs the corpus in a
// unit test.
#include "tests/fuzz/core_fuzz_run.hpp"

#include <cstdint>

using parapet::nucleus::fuzz::Runner;

namespace parapet::nucleus::test {
void note_read(const void* at, size_t bytes);
}

extern "C" {
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Runner runner;
    runner.run(data, size);
    return 0;
}

// The core's own loads, where the compiler traces them (-fsanitize-coverage=trace-loads).
void __sanitizer_cov_load1(const void* at);
void __sanitizer_cov_load2(const void* at);
void __sanitizer_cov_load4(const void* at);
void __sanitizer_cov_load8(const void* at);
void __sanitizer_cov_load16(const void* at);

void __sanitizer_cov_load1(const void* at) {
    parapet::nucleus::test::note_read(at, 1);
}
void __sanitizer_cov_load2(const void* at) {
    parapet::nucleus::test::note_read(at, 2);
}
void __sanitizer_cov_load4(const void* at) {
    parapet::nucleus::test::note_read(at, 4);
}
void __sanitizer_cov_load8(const void* at) {
    parapet::nucleus::test::note_read(at, 8);
}
void __sanitizer_cov_load16(const void* at) {
    parapet::nucleus::test::note_read(at, 16);
}
}
