// SPDX-License-Identifier: Apache-2.0
// System calls and page faults.
#include "guests/lib/user.hpp"
#include "guests/bench/operation.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/traps.hpp"

extern "C" {
extern char user_syscalls[], user_syscalls_end[];
extern char user_faults[], user_faults_end[];
extern char skip_page_fault[];
void kernel_faults(uint64_t count, uint64_t address);
}

namespace parapet::guest::bench {

namespace {

/// Another entry for #PF while it lives; the library's comes back after.
class FaultSkipper {
public:
    FaultSkipper() { install(address_of(skip_page_fault)); }
    ~FaultSkipper() { install(address_of(trap_stubs) + 32 * vector_pf); }
    FaultSkipper(const FaultSkipper&) = delete;
    FaultSkipper& operator=(const FaultSkipper&) = delete;

private:
    static void install(uint64_t entry) {
        trap_info_t table[] = {{vector_pf, 0, FLAT_KERNEL_CS, entry}, {}};
        hypercall(__HYPERVISOR_set_trap_table, table);
    }
};

uint64_t syscall_return(uint64_t count) {
    const uint64_t begin = rdtsc();
    user_call(user_syscalls, user_syscalls_end, count);
    return rdtsc() - begin;
}

uint64_t page_fault_user(uint64_t count) {
    const FaultSkipper skipper;
    const uint64_t begin = rdtsc();
    user_call(user_faults, user_faults_end, count, user_hole);
    return rdtsc() - begin;
}

uint64_t page_fault_kernel(uint64_t count) {
    const FaultSkipper skipper;
    const uint64_t begin = rdtsc();
    kernel_faults(count, user_hole);
    return rdtsc() - begin;
}

constexpr Operation operations[] = {
    {"syscall_return", syscall_return},
    {"page_fault_user", page_fault_user},
    {"page_fault_kernel", page_fault_kernel},
};

} // namespace

constinit const Group user_group = {user_init, operations, sizeof(operations) / sizeof(operations[0])};

} // namespace parapet::guest::bench
