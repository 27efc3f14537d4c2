// SPDX-License-Identifier: Apache-2.0
// Root switches: the kernel's root, the user's, and both in one call as a context switch does. Needs user_group first.
#include "guests/bench/operation.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/user.hpp"

namespace parapet::guest::bench {

namespace {

constexpr unsigned hole_first = 256; // the hypervisor's slots of a root
constexpr unsigned hole_last = 271;

uint64_t kernel_roots[2];
uint64_t user_roots[2];

/// A pinned root with the kernel's entries.
uint64_t clone_kernel_root() {
    auto* root = static_cast<uint64_t*>(alloc_page());
    for (unsigned i = 0; i < table_entries; ++i) {
        if (i < hole_first || i > hole_last) {
            root[i] = root_table()[i];
        }
    }
    if (set_read_only(root) != 0 || mmuext_mfn(MMUEXT_PIN_L4_TABLE, virt_to_mfn(root)) != 0) {
        return 0;
    }
    return virt_to_mfn(root);
}

long prepare() {
    kernel_roots[0] = virt_to_mfn(root_table());
    kernel_roots[1] = clone_kernel_root();
    user_roots[0] = user_root_mfn();
    user_roots[1] = user_roots[0] == 0 ? 0 : make_user_root();
    return kernel_roots[1] == 0 || user_roots[1] == 0 ? -XEN_EINVAL : 0;
}

/// Two switches are made per round, so an even number of rounds or not, root 0 is loaded at the end.
uint64_t switch_root(uint64_t count) {
    const uint64_t ticks =
        timed(count, [](uint64_t i) { return mmuext_mfn(MMUEXT_NEW_BASEPTR, kernel_roots[~i & 1]) == 0; });
    mmuext_mfn(MMUEXT_NEW_BASEPTR, kernel_roots[0]);
    return ticks;
}

uint64_t switch_user_root(uint64_t count) {
    const uint64_t ticks =
        timed(count, [](uint64_t i) { return mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, user_roots[~i & 1]) == 0; });
    mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, user_roots[0]);
    return ticks;
}

bool switch_to(unsigned which) {
    mmuext_op_t ops[2] = {};
    ops[0].cmd = MMUEXT_NEW_BASEPTR;
    ops[0].arg1.mfn = kernel_roots[which];
    ops[1].cmd = MMUEXT_NEW_USER_BASEPTR;
    ops[1].arg1.mfn = user_roots[which];
    return mmuext_op(ops, 2) == 0;
}

uint64_t switch_both(uint64_t count) {
    const uint64_t ticks = timed(count, [](uint64_t i) { return switch_to(~i & 1); });
    switch_to(0);
    return ticks;
}

constexpr Operation operations[] = {
    {"root_switch", switch_root},
    {"root_switch_user", switch_user_root},
    {"context_switch", switch_both},
};

} // namespace

constinit const Group root_group = {prepare, operations, sizeof(operations) / sizeof(operations[0])};

} // namespace parapet::guest::bench
