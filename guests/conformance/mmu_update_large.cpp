// SPDX-License-Identifier: Apache-2.0
// mmu_update of more than the hypervisor does in one go: events come in between, and the caller sees one call, with all
// done, or all up to an error. Lists over page boundaries, and those that end in a hole.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "mmu_update_large";

namespace {

constexpr unsigned count = 4000;
mmu_update_t* requests;
volatile uint64_t* words;

/// Request i stores `first` + i in word i of eight pages.
void prepare(uint64_t first) {
    for (unsigned i = 0; i < count; ++i) {
        const auto* page = words + i / 512 * 512;
        requests[i] = {(virt_to_mfn(page) << page_shift) + i % 512 * 8, first + i};
        words[i] = 0;
    }
}

/// Words [0, end) are stored, the others not.
void stored_up_to(unsigned end, uint64_t first, const char* what) {
    for (unsigned i = 0; i < count; ++i) {
        const uint64_t wanted = i < end ? first + i : 0;
        if (!expect(words[i] == wanted, "%s: word %u is %lx, wanted %lx", what, i, words[i], wanted)) {
            return;
        }
    }
}

void whole() {
    prepare(1000);
    unsigned done = 99;
    expect_result(mmu_update(requests, count, &done), 0, "all");
    expect(done == count, "%u of %u", done, count);
    stored_up_to(count, 1000, "all");
}

void with_an_error() {
    constexpr unsigned bad = 3333;
    prepare(2000);
    requests[bad].ptr = 0xffffffffful << page_shift;
    unsigned done = 99;
    expect_result(mmu_update(requests, count, &done), -XEN_EINVAL, "an error near the end");
    expect(done == bad, "%u done before number %u", done, bad);
    stored_up_to(bad, 2000, "an error near the end");
}

/// A periodic timer of 1 ms, whose upcalls come while the batch goes on.
void with_events(evtchn_port_t timer) {
    vcpu_set_periodic_timer period{1'000'000};
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), 0, "periodic timer");
    unmask_port(timer);
    unmask_events();
    const uint64_t before = event_count(timer);
    for (unsigned round = 0; round < 50; ++round) {
        prepare(round * 10'000);
        unsigned done = 99;
        expect_result(mmu_update(requests, count, &done), 0, "under events");
        if (!expect(done == count, "%u of %u under events", done, count)) {
            break;
        }
        stored_up_to(count, round * 10'000, "under events");
    }
    mask_events();
    expect(event_count(timer) > before, "no event came");
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop the timer");
}

/// The page behind the list is not there; the list begins at any offset.
void ends_in_a_hole() {
    prepare(3000);
    const unsigned pages = count * sizeof(mmu_update_t) / page_size;
    auto* last_page = reinterpret_cast<unsigned char*>(requests) + pages * page_size;
    const unsigned whole_requests = pages * page_size / sizeof(mmu_update_t);
    expect_result(update_va_mapping(address_of(last_page), 0), 0, "unmap");
    unsigned done = 99;
    expect_result(mmu_update(requests, count, &done), -XEN_EFAULT, "a list that ends in a hole");
    expect(done == whole_requests, "%u of the %u before the hole", done, whole_requests);
    stored_up_to(whole_requests, 3000, "a list that ends in a hole");
    // One that lies across the boundary is not there.
    auto* odd = reinterpret_cast<mmu_update_t*>(reinterpret_cast<unsigned char*>(requests) + 8);
    memmove(odd, requests, (whole_requests - 1) * sizeof(mmu_update_t));
    for (unsigned i = 0; i < count; ++i) {
        words[i] = 0;
    }
    expect_result(mmu_update(odd, whole_requests, &done), -XEN_EFAULT, "the last lies across the boundary");
    expect(done == whole_requests - 1, "%u of the %u before it", done, whole_requests - 1);
    stored_up_to(whole_requests - 1, 3000, "the last lies across the boundary");
}

} // namespace

void test() {
    const auto timer = static_cast<evtchn_port_t>(bind_virq(VIRQ_TIMER));
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop the timer");
    requests = static_cast<mmu_update_t*>(alloc_pages(count * sizeof(mmu_update_t) / page_size + 1));
    words = static_cast<volatile uint64_t*>(alloc_pages((count + 511) / 512));
    whole();
    with_an_error();
    with_events(timer);
    ends_in_a_hole();
}

} // namespace parapet::guest
