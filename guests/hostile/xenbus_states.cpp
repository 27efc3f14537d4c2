// SPDX-License-Identifier: Apache-2.0
// State words in any order, and nonsense in every node that a backend reads, while requests are under way.
// seed=N (1), steps=N (200)
// needs: disk 4M
// needs: disk 4M
#include "guests/hostile/abuse.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/random.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

namespace {

Abuse abuse{"xenbus_states"};

const char* const nodes[] = {"state",
                             "state",
                             "state",
                             "state",
                             "ring-ref",
                             "ring-ref0",
                             "ring-ref1",
                             "event-channel",
                             "protocol",
                             "feature-persistent",
                             "ring-page-order",
                             "num-ring-pages",
                             "multi-queue-num-queues",
                             "queue-0/ring-ref",
                             "queue-0/event-channel",
                             "queue-1/ring-ref",
                             "virtual-device",
                             "backend",
                             "backend-id"};

const char* const values[] = {"0",
                              "1",
                              "2",
                              "3",
                              "4",
                              "5",
                              "6",
                              "7",
                              "8",
                              "16",
                              "33",
                              "4096",
                              "-1",
                              "65536",
                              "2147483648",
                              "4294967295",
                              "4294967296",
                              "18446744073709551616",
                              "",
                              " 4",
                              "4 ",
                              "0x4",
                              "four",
                              "x86_32-abi",
                              "x86_64-abi",
                              "/local/domain/0/backend/vbd/1/51728",
                              "99999999999999999999999999999999999999999999999999999999999999999999999999"};

template <typename T, unsigned N>
T pick(T (&list)[N], Random& random) {
    return list[random.below(N)];
}

/// Numbers of xvdb's ring and port would be harm that xvda does to xvdb with our own consent.
bool names_others(const char* node, const char* value) {
    const uint64_t number = parse_number(value, 1000);
    return number < 16 && (strcmp(node, "event-channel") == 0 || strcmp(node, "queue-0/event-channel") == 0);
}

void some_requests(const blkif_request_segment* good, Random& random) {
    for (unsigned i = 0; i < 4 && abuse.victim.queue().free_slots() > 0; ++i) {
        abuse.victim.post(0, i == 0 ? BLKIF_OP_WRITE : BLKIF_OP_READ, i, 64 + random.below(256), good, 4);
    }
    abuse.victim.queue().push();
}

/// Ports that are not there for this device to bind: xvdb's, the console's, the store's; and two that nobody has.
void ports_of_others() {
    const evtchn_port_t others[] = {abuse.bystander.queue().port, start_info().console.domU.evtchn,
                                    start_info().store_evtchn, 200, 100'000};
    for (unsigned i = 0; i < 5; ++i) {
        abuse.check(abuse.victim.close() && abuse.victim.publish({}), "closing and publishing");
        abuse.victim.bus.write("event-channel", others[i]);
        abuse.victim.bus.set_state(XenbusStateInitialised);
        const unsigned state = abuse.victim.bus.wait_backend(
            state_bit(XenbusStateConnected) | state_bit(XenbusStateClosing) | state_bit(XenbusStateClosed), 5'000);
        abuse.check(i >= 3 || state != XenbusStateConnected, "port %u, not its own, is bound", others[i]);
        abuse.recover("a port that is not its own");
    }
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        ports_of_others();
        Random random{command_line_number("seed", 1)};
        static IoBuffer pages{4};
        blkif_request_segment good[4];
        pages.segments(good, 4, false);
        const uint64_t steps = command_line_number("steps", 200);
        for (uint64_t step = 0; step < steps; ++step) {
            if (step % 4 == 0) {
                some_requests(good, random);
            }
            const char* node = pick(nodes, random);
            if (random.one_in(12)) {
                abuse.victim.bus.remove(node);
            } else if (random.one_in(8)) { // what may be a reference or a port
                abuse.victim.bus.write(node, 16 + random.below(64));
            } else if (const char* value = pick(values, random); !names_others(node, value)) {
                abuse.victim.bus.write(node, value);
            }
            blkif_response_t response{};
            while (abuse.victim.queue().take(response, 0)) {
            }
            if (step % 50 == 49) {
                abuse.recover("states and nodes in any order");
            }
        }
        abuse.recover("all states and nodes");
        abuse.check(pages.end_grants(), "a grant is still in use");
    }
    return abuse.finish();
}

} // namespace parapet::guest
