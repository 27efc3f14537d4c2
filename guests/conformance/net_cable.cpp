// SPDX-License-Identifier: Apache-2.0
// Two interfaces of this domain with a cable between them: frames of all sizes and kinds, in pieces, with and without
// what is left to others to do; several queues; coming and going.
// needs: vif socket=LINK,queues=2
// needs: vif socket=LINK,queues=2
#include "guests/conformance/net_check.hpp"

#include <initializer_list>

namespace parapet::guest {

const char* const test_name = "net_cable";

namespace {

NetDevice left, right;

void sizes() {
    for (const unsigned payload : {18u, 100u, 1472u, 4054u, 4055u, 8958u, 20'000u}) {
        expect_passes(left, right, {}, payload);
        expect_passes(right, left, {.ipv6 = true, .tcp = true}, payload);
    }
    expect_passes(left, right, {}, 65'000);
    expect_passes(left, right, {.tcp = true}, 9'000, true, 700);
}

void left_to_others(bool unfinished) {
    for (const bool ipv6 : {false, true}) {
        expect_passes(left, right, {.ipv6 = ipv6, .blank = true}, 1000, unfinished);
        expect_passes(right, left, {.ipv6 = ipv6, .tcp = true, .blank = true}, 1000, true);
    }
}

void large_segments() {
    for (const bool ipv6 : {false, true}) {
        expect_passes(left, right, {.ipv6 = ipv6, .tcp = true, .segment = 1448}, 30'000);
        expect_passes(right, left, {.ipv6 = ipv6, .tcp = true, .segment = 500}, 65'000);
        expect_passes(left, right, {.ipv6 = ipv6, .tcp = true, .segment = 1448}, 3'000); // in one page
    }
}

/// More frames than the rings have slots.
void many() {
    for (unsigned i = 0; i < 300; ++i) {
        if (!expect_passes(left, right, {}, 64 + i, true)) {
            return;
        }
    }
}

void queues() {
    if (left.offers().queues < 2) {
        return;
    }
    const NetOptions two{.queues = 2, .split_events = left.offers().split_events};
    if (!expect(left.reconnect(two) && right.reconnect(two), "two queues: states %u, %u", left.bus.backend_state(),
                right.bus.backend_state())) {
        return;
    }
    expect_carrier(left);
    expect_carrier(right);
    for (const unsigned queue : {0u, 1u, 1u, 0u}) {
        expect_passes(left, right, {.blank = true}, 1400, true, page_size, queue);
        expect_passes(right, left, {.tcp = true, .segment = 1448}, 20'000, true, page_size, queue);
    }
}

} // namespace

void test() {
    if (!start_net(left, 0) || !start_net(right, 1)) {
        return;
    }
    expect_carrier(left);
    expect_carrier(right);
    print("info: sg %d gso4 %d gso6 %d split %d, %u queues\n", left.offers().scatter, left.offers().gso4,
          left.offers().gso6, left.offers().split_events, left.offers().queues);
    sizes();
    left_to_others(true);
    large_segments();
    many();

    // A receiver that wants its checksums finished.
    expect(right.reconnect({.segments = false, .checksum = false}), "right without offloads");
    expect_carrier(left);
    left_to_others(false);

    end_net(right);
    expect_carrier(left, false);
    expect(right.connect(), "right again");
    expect_carrier(left);
    expect_passes(left, right, {}, 500);
    queues();
    end_net(left);
    end_net(right);
}

} // namespace parapet::guest
