// SPDX-License-Identifier: Apache-2.0
// mmuext_op: the error of each operation for wrong frames, domains and pointers; batches that stop, and large ones.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "mmuext_errors";

namespace {

constexpr domid_t no_domain = 0x7000;
constexpr uint64_t wild = 0xffffffffful;

long one(unsigned command, uint64_t mfn, uint64_t second = 0, unsigned domain = DOMID_SELF) {
    mmuext_op_t op{};
    op.cmd = command;
    op.arg1.mfn = mfn;
    op.arg2.src_mfn = second;
    return mmuext_op(&op, 1, nullptr, domain);
}

void frames() {
    const uint64_t data = virt_to_mfn(alloc_page());
    const uint64_t root = virt_to_mfn(root_table());
    for (const unsigned command :
         {MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE, MMUEXT_UNPIN_TABLE,
          MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR, MMUEXT_CLEAR_PAGE}) {
        expect_result(one(command, wild), -XEN_EINVAL, "a frame that is not there");
        expect_result(one(command, ~0ul), -XEN_EINVAL, "the last frame number of all");
    }
    for (const unsigned command : {MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE,
                                   MMUEXT_UNPIN_TABLE, MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR}) {
        expect_result(one(command, data), -XEN_EINVAL, "a writable page");
    }
    expect_result(one(MMUEXT_NEW_BASEPTR, 0), -XEN_EINVAL, "no root");
    expect_result(one(MMUEXT_CLEAR_PAGE, root), -XEN_EINVAL, "clear a page table");
    expect_result(one(MMUEXT_COPY_PAGE, root, data), -XEN_EINVAL, "copy onto a page table");
    expect_result(one(MMUEXT_COPY_PAGE, wild, data), -XEN_EINVAL, "copy onto no frame");
    expect_result(one(MMUEXT_COPY_PAGE, data, wild), -XEN_EINVAL, "copy from no frame");
    expect_result(one(MMUEXT_COPY_PAGE, data, root), 0, "copy from a page table");
    expect_result(one(MMUEXT_COPY_PAGE, data, data), 0, "copy onto itself");
    expect_result(one(MMUEXT_NEW_USER_BASEPTR, root), 0, "the kernel's root for user mode");
    expect_result(one(MMUEXT_NEW_USER_BASEPTR, root), 0, "once more");
    expect_result(one(MMUEXT_NEW_USER_BASEPTR, wild), -XEN_EINVAL, "another that is not there");
    expect_result(one(MMUEXT_NEW_USER_BASEPTR, 0), 0, "none");
    expect_result(one(MMUEXT_NEW_USER_BASEPTR, 0), 0, "none once more");
}

/// What is for domains with devices, what Xen has no more, and what there never was.
void refused() {
    if (!is_initial_domain()) {
        expect_result(one(MMUEXT_FLUSH_CACHE, 0), -XEN_EACCES, "flush the cache");
        expect_result(one(MMUEXT_FLUSH_CACHE_GLOBAL, 0), -XEN_EINVAL, "flush all caches");
    }
    expect_result(one(MMUEXT_MARK_SUPER, 0), -XEN_EOPNOTSUPP, "mark a super page");
    expect_result(one(MMUEXT_UNMARK_SUPER, 0), -XEN_EOPNOTSUPP, "unmark a super page");
    for (const unsigned command : {14u, 21u, 999u, ~0u}) {
        expect_result(one(command, 0), -XEN_ENOSYS, "a command that is none");
    }
}

void flushes() {
    mmuext_op_t op{};
    for (const unsigned command : {MMUEXT_TLB_FLUSH_MULTI, MMUEXT_INVLPG_MULTI}) {
        op.cmd = command;
        op.arg1.linear_addr = free_window;
        for (uint64_t vcpus : {0ul, 1ul, 2ul, ~0ul}) { // those that are not there are passed over
            set_xen_guest_handle(op.arg2.vcpumask, &vcpus);
            expect_result(mmuext_op(&op, 1), 0, "flush of some vCPUs");
        }
        for (const uint64_t at : {0x1000ul, HYPERVISOR_VIRT_START, 0x800000000000ul}) {
            set_xen_guest_handle(op.arg2.vcpumask, reinterpret_cast<void*>(at));
            expect_result(mmuext_op(&op, 1), -XEN_EINVAL, "a bitmap that is not there");
        }
    }
    for (const unsigned command : {MMUEXT_INVLPG_LOCAL, MMUEXT_INVLPG_ALL}) {
        for (const uint64_t at : {0ul, ~0ul, 0x800000000000ul, HYPERVISOR_VIRT_START}) {
            expect_result(one(command, at), 0, "flush of a page that is nobody's");
        }
    }
}

void ldt() {
    auto* page = static_cast<unsigned char*>(alloc_page());
    const auto set = [](uint64_t at, unsigned entries) { return one(MMUEXT_SET_LDT, at, entries); };
    expect_result(set(address_of(page) + 8, 1), -XEN_EINVAL, "not page-aligned");
    expect_result(set(address_of(page), 8193), -XEN_EINVAL, "too many entries");
    expect_result(set(address_of(page), ~0u), -XEN_EINVAL, "far too many entries");
    expect_result(set(HYPERVISOR_VIRT_START, 1), -XEN_EINVAL, "in the hypervisor");
    expect_result(set(0x800000000000, 1), -XEN_EINVAL, "not canonical");
    expect_result(set(0x1000, 8192), 0, "as many as there may be, at a hole");
    expect_result(set(address_of(page), 8192), 0, "as many as there may be");
    expect_result(set(0x123, 0), 0, "none, wherever");
}

void domains() {
    for (const unsigned command : {MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_NEW_BASEPTR, MMUEXT_PIN_L1_TABLE, 999}) {
        expect_result(one(command, 0, 0, no_domain), -XEN_ESRCH, "of no domain");
        expect_result(one(command, 0, 0, own_domid()), -XEN_ESRCH, "of oneself by number");
        if (!is_initial_domain()) {
            expect_result(one(command, 0, 0, 0), -XEN_EPERM, "of domain 0");
        }
    }
    expect_result(mmuext_op(nullptr, 0, nullptr, no_domain), -XEN_ESRCH, "nothing, of no domain");
}

void batches() {
    constexpr unsigned count = 2000, bad = 1500;
    auto* ops = static_cast<mmuext_op_t*>(alloc_pages(count * sizeof(mmuext_op_t) / page_size + 1));
    for (unsigned i = 0; i < count; ++i) {
        ops[i].cmd = MMUEXT_TLB_FLUSH_LOCAL;
    }
    unsigned done = 99;
    expect_result(mmuext_op(ops, count, &done), 0, "a large batch");
    expect(done == count, "%u of %u", done, count);
    ops[bad].cmd = 999;
    expect_result(mmuext_op(ops, count, &done), -XEN_ENOSYS, "a large batch with an error");
    expect(done == bad, "%u done before number %u", done, bad);
    auto* nowhere = reinterpret_cast<unsigned*>(0x1000);
    expect_result(mmuext_op(ops, 1, nowhere), 0, "a count that cannot be written");
    expect_result(mmuext_op(ops + bad, 1, nowhere), -XEN_ENOSYS, "an error, and a count that cannot be written");
    done = 99;
    expect_result(mmuext_op(nullptr, 0, &done), 0, "none");
    expect(done == 0, "%u of none", done);
    done = 40;
    expect_result(mmuext_op(ops, 2 | 1u << 31, &done), 0, "a call that goes on");
    expect(done == 42, "it counts on to %u", done);
    // A list that ends in a hole.
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    auto* last = reinterpret_cast<mmuext_op_t*>(pages + page_size) - 2;
    last[0].cmd = last[1].cmd = MMUEXT_TLB_FLUSH_LOCAL;
    expect_result(mmuext_op(last, 3, &done), -XEN_EFAULT, "a list that ends in a hole");
    expect(done == 2, "%u of the 2 before the hole", done);
    expect_result(mmuext_op(reinterpret_cast<mmuext_op_t*>(HYPERVISOR_VIRT_START), 1), -XEN_EFAULT,
                  "operations in the hypervisor");
}

} // namespace

void test() {
    frames();
    refused();
    flushes();
    ldt();
    domains();
    batches();
}

} // namespace parapet::guest
