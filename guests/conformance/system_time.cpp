// SPDX-License-Identifier: Apache-2.0
// Time: monotonic, at the TSC's pace, wall clock present, the version even.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "system_time";

void test() {
    const auto& time = this_vcpu().time;
    expect(time.tsc_to_system_mul != 0, "no multiplier");
    expect((time.version & 1) == 0, "version %u is odd", time.version);
    expect(time.system_time > 0, "system_time is 0");
    uint64_t last = now_ns();
    for (unsigned i = 0; i < 200'000; ++i) {
        if (i % 1000 == 0) {
            sched_op(SCHEDOP_yield);
        }
        const uint64_t now = now_ns();
        if (!expect(now >= last, "time went back from %lu to %lu", last, now)) {
            break;
        }
        last = now;
    }
    const uint64_t hertz = tsc_hertz();
    expect(hertz > 100'000'000 && hertz < 10'000'000'000, "the TSC runs at %lu Hz", hertz);
    const uint64_t tsc = rdtsc();
    const uint64_t begin = now_ns();
    while (now_ns() < begin + 50'000'000) {
        sched_op(SCHEDOP_yield);
    }
    const uint64_t by_tsc = tsc_to_ns(rdtsc() - tsc);
    const uint64_t by_time = now_ns() - begin;
    const uint64_t apart = by_tsc > by_time ? by_tsc - by_time : by_time - by_tsc;
    expect(apart < by_time / 10, "50 ms are %lu ns by the TSC, %lu ns by system time", by_tsc, by_time);

    const shared_info_t& shared = shared_info();
    expect((shared.wc_version & 1) == 0, "wall clock version %u is odd", shared.wc_version);
    const uint64_t seconds = shared.wc_sec + (static_cast<uint64_t>(shared.wc_sec_hi) << 32);
    expect(seconds > 1'600'000'000 && seconds < 4'000'000'000, "the wall clock started at %lu", seconds);
    expect(shared.wc_nsec < 1'000'000'000, "wc_nsec is %u", shared.wc_nsec);
}

} // namespace parapet::guest
