// SPDX-License-Identifier: Apache-2.0
// Two domains with a cable between them. One sends, the other sends everything back, both check.
// needs: vif socket=LINK
// needs: twin
#include "guests/conformance/net_check.hpp"

#include <initializer_list>

namespace parapet::guest {

const char* const test_name = "net_twins";

namespace {

NetDevice device;
constexpr unsigned rounds = 40;
constexpr uint8_t anyone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

FrameKind kind_of(unsigned round) {
    FrameKind kind{.ipv6 = round % 2 != 0, .tcp = round % 4 >= 2, .blank = round % 3 == 0};
    if (round % 8 >= 6) {
        kind = {.ipv6 = kind.ipv6, .tcp = true, .segment = 1448};
    }
    return kind;
}

void make(TxFrame& frame, unsigned round) {
    const FrameKind kind = kind_of(round);
    make_frame(frame, anyone, device.offers().mac, kind, kind.segment != 0 ? 10'000 + 1000 * round : 100 + 30 * round,
               round);
}

bool come_back(TxFrame& frame, unsigned round) {
    const unsigned char* bytes = nullptr;
    FrameFlags flags;
    const long size = next_frame(device, bytes, flags, 5'000);
    if (!expect(size > 0, "round %u: nothing came", round)) {
        return false;
    }
    const char* wrong = check_frame(bytes, static_cast<size_t>(size), frame, flags.csum_blank);
    return expect(wrong == nullptr, "round %u: %s", round, wrong == nullptr ? "" : wrong);
}

void ask() {
    static TxFrame frame;
    for (unsigned round = 0; round < rounds; ++round) {
        make(frame, round);
        expect(device.send(frame) == NETIF_RSP_OKAY, "round %u: not sent", round);
        if (!come_back(frame, round)) {
            return;
        }
    }
}

void answer() {
    static TxFrame frame;
    for (unsigned round = 0; round < rounds; ++round) {
        const unsigned char* bytes = nullptr;
        FrameFlags flags;
        const long size = next_frame(device, bytes, flags, 8'000);
        if (!expect(size > 0, "round %u: nothing came", round)) {
            return;
        }
        memcpy(frame.bytes(), bytes, static_cast<size_t>(size));
        frame.size = static_cast<unsigned>(size);
        frame.flags = flags;
        expect(device.send(frame) == NETIF_RSP_OKAY, "round %u: not sent", round);
    }
}

} // namespace

void test() {
    char twin[4] = "a";
    command_line_value("twin", twin, sizeof(twin));
    if (!start_net(device, 0) || !expect_carrier(device)) {
        return;
    }
    if (twin[0] == 'a') {
        ask();
        end_net(device);
    } else {
        answer();
        expect_carrier(device, false); // what was sent last has arrived
    }
}

} // namespace parapet::guest
