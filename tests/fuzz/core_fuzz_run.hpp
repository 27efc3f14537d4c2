// SPDX-License-Identifier: Apache-2.0
// Runs one input: a sequence of steps of a hostile guest and its host, each of them an entry into the core or a write
// between two entries.
#pragma once

#include "tests/fuzz/core_fuzz_check.hpp"
#include "tests/fuzz/core_fuzz_meddler.hpp"
#include "tests/fuzz/core_fuzz_values.hpp"

namespace parapet::nucleus::fuzz {

class Runner {
public:
    Runner();
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;

    /// An input from its beginning to its end, or to the domain's.
    void run(const u8* data, size_t size);

private:
    void step(Record& record);
    void hypercall(Record& record);
    void reissue(Record& record);
    void exception(Record& record);
    void iret(Record& record);
    void guest_write(Record& record);
    void grant_write(Record& record);
    void host_step(Record& record);
    void interrupt(Record& record);
    void other_vcpu(Record& record);
    void enter(u64 vector);
    void wake_up();

    World world_;
    Checker checker_{world_};
    Meddler meddler_{world_};
};

/// Code and registers of an instruction of the guest that the core is to emulate or to refuse
/// (core_fuzz_instructions.cpp). The result is the vector by which it arrives.
u64 prepare_instruction(World& world, Values& values, Record& record);

} // namespace parapet::nucleus::fuzz
