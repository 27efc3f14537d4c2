// SPDX-License-Identifier: Apache-2.0
#include "guests/conformance/net_check.hpp"

namespace parapet::guest {

namespace {

unsigned char received[most_frame];
unsigned seed = 1;

} // namespace

bool start_net(NetDevice& device, unsigned id, const NetOptions& options) {
    unsigned ids[4];
    if (xenbus_devices("vif", ids, 4) == 0) {
        skip("no network interface");
        return false;
    }
    return (grants_version() != 0 || expect_result(grants_init(), 0, "grant table")) &&
           expect(device.open(id), "vif %u: its backend does not wait for us", id) &&
           expect(device.connect(options), "vif %u did not connect: state %u", id, device.bus.backend_state());
}

bool expect_carrier(NetDevice& device, bool up) {
    const uint64_t end = now_ns() + 10'000'000'000;
    while (device.bus.backend_number("carrier", 2) != (up ? 1u : 0u)) {
        if (now_ns() > end) {
            return expect(false, "%s: `carrier` is not %d", device.bus.frontend(), up);
        }
        wait_for_port(start_info().store_evtchn, now_ns() + 5'000'000);
    }
    return true;
}

long next_frame(NetDevice& device, const unsigned char*& bytes, FrameFlags& flags, unsigned milliseconds) {
    bytes = received;
    for (;;) {
        const long size = device.receive(received, sizeof(received), flags, milliseconds);
        if (size <= 0 || is_ours(received, static_cast<size_t>(size))) {
            return size;
        }
    }
}

bool expect_passes(NetDevice& from, NetDevice& to, const FrameKind& kind, unsigned payload, bool unfinished,
                   unsigned piece, unsigned queue) {
    static TxFrame frame;
    make_frame(frame, to.offers().mac, from.offers().mac, kind, payload, ++seed);
    const int status = from.send(frame, queue, piece);
    expect(frame.end_grants(), "a sent page is still in use");
    if (!expect(status == NETIF_RSP_OKAY, "sending %u bytes: status %d", frame.size, status)) {
        return false;
    }
    const unsigned char* bytes = nullptr;
    FrameFlags flags;
    const long size = next_frame(to, bytes, flags);
    if (!expect(size > 0, "%u bytes sent (ipv6 %d, tcp %d), %ld came", frame.size, kind.ipv6, kind.tcp, size)) {
        return false;
    }
    const char* wrong = check_frame(bytes, static_cast<size_t>(size), frame, flags.csum_blank);
    expect(wrong == nullptr, "%s", wrong == nullptr ? "" : wrong);
    if (kind.segment != 0) {
        expect(flags.gso_size == kind.segment && flags.gso_type == frame.flags.gso_type,
               "segments of %u, type %u, sent as %u, %u", flags.gso_size, flags.gso_type, kind.segment,
               frame.flags.gso_type);
    }
    return expect(flags.csum_blank == (unfinished && frame.flags.csum_blank), "csum_blank came as %d",
                  flags.csum_blank) &&
           wrong == nullptr;
}

void end_net(NetDevice& device) {
    expect(device.close(), "%s: closing: state %u, or a page is still in use", device.bus.frontend(),
           device.bus.backend_state());
}

} // namespace parapet::guest
