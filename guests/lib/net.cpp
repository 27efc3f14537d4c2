// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/net.hpp"

#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/front_ring.hpp"
#include "guests/lib/grants.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

constexpr int no_answer = -100;

bool end_all(grant_ref_t* refs, unsigned count) {
    bool ok = true;
    for (unsigned i = 0; i < count; ++i) {
        ok = (refs[i] == no_grant || grant_end(refs[i])) && ok;
        refs[i] = no_grant;
    }
    return ok;
}

unsigned hex_digit(char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

} // namespace

TxFrame::TxFrame() : bytes_{static_cast<unsigned char*>(alloc_pages(frame_pages))} {}

void TxFrame::grant() {
    for (unsigned page = 0; page * page_size < size; ++page) {
        if (refs[page] == no_grant) {
            refs[page] = grant_page(bytes_ + page * page_size, true);
        }
    }
}

bool TxFrame::end_grants() {
    return end_all(refs, frame_pages);
}

netif_tx_request_t& NetQueue::next_tx() {
    netif_tx_request_t& request = *RING_GET_REQUEST(&tx, tx.req_prod_pvt);
    request = {};
    request.id = static_cast<uint16_t>(tx.req_prod_pvt++);
    return request;
}

void NetQueue::push_tx() {
    push_requests(tx, tx_port);
}

void NetQueue::push_rx() {
    push_requests(rx, rx_port);
}

bool NetQueue::take_tx(netif_tx_response_t& response, unsigned milliseconds) {
    return take_response(tx, tx_port, milliseconds, response);
}

bool NetQueue::take_rx(netif_rx_response_t& response, unsigned milliseconds) {
    return take_response(rx, rx_port, milliseconds, response);
}

void NetQueue::offer_buffer() {
    const unsigned buffer = rx.req_prod_pvt % rx_buffers;
    netif_rx_request_t& request = *RING_GET_REQUEST(&rx, rx.req_prod_pvt);
    request.id = static_cast<uint16_t>(rx.req_prod_pvt++ & (RING_SIZE(&rx) - 1));
    request.pad = 0;
    request.gref = buffer_refs[buffer];
}

void NetDevice::read_offers() {
    offers_.scatter = bus.backend_number("feature-sg") != 0;
    offers_.gso4 = bus.backend_number("feature-gso-tcpv4") != 0;
    offers_.gso6 = bus.backend_number("feature-gso-tcpv6") != 0;
    offers_.ipv6_checksum = bus.backend_number("feature-ipv6-csum-offload") != 0;
    offers_.split_events = bus.backend_number("feature-split-event-channels") != 0;
    offers_.queues = static_cast<unsigned>(bus.backend_number("multi-queue-max-queues", 1));
    char text[20];
    if (bus.read("mac", text, sizeof(text)) && strlen(text) == 17) {
        for (unsigned i = 0; i < 6; ++i) {
            offers_.mac[i] = static_cast<uint8_t>(hex_digit(text[3 * i]) << 4 | hex_digit(text[3 * i + 1]));
        }
    }
}

bool NetDevice::open(unsigned id) {
    if (!bus.open("vif", id) || bus.wait_backend(state_bit(XenbusStateInitWait)) == 0) {
        return false;
    }
    read_offers();
    return true;
}

bool NetDevice::publish_queue(unsigned index, bool split, const char* prefix) {
    NetQueue& queue = queues_[index];
    if (queue.buffers == nullptr) {
        queue.buffers = static_cast<unsigned char*>(alloc_pages(rx_buffers));
        rings_[index][0] = alloc_page();
        rings_[index][1] = alloc_page();
    }
    memset(rings_[index][0], 0, page_size);
    memset(rings_[index][1], 0, page_size);
    XEN_FRONT_RING_INIT(&queue.tx, static_cast<netif_tx_sring_t*>(rings_[index][0]), page_size);
    XEN_FRONT_RING_INIT(&queue.rx, static_cast<netif_rx_sring_t*>(rings_[index][1]), page_size);
    const long tx_port = alloc_port();
    const long rx_port = split ? alloc_port() : tx_port;
    if (tx_port < 0 || rx_port < 0) {
        return false;
    }
    queue.tx_port = static_cast<evtchn_port_t>(tx_port);
    queue.rx_port = static_cast<evtchn_port_t>(rx_port);
    for (unsigned i = 0; i < rx_buffers; ++i) {
        queue.buffer_refs[i] = grant_page(queue.buffers + i * page_size);
    }
    for (unsigned i = 0; i < rx_buffers; ++i) {
        queue.offer_buffer();
    }
    ring_refs_[index][0] = grant_page(rings_[index][0]);
    ring_refs_[index][1] = grant_page(rings_[index][1]);
    char node[48];
    bool ok = true;
    const auto write = [&](const char* name, uint64_t value) {
        print_to(node, sizeof(node), "%s%s", prefix, name);
        ok = bus.write(node, value) && ok;
    };
    write("tx-ring-ref", ring_refs_[index][0]);
    write("rx-ring-ref", ring_refs_[index][1]);
    if (split) {
        write("event-channel-tx", queue.tx_port);
        write("event-channel-rx", queue.rx_port);
    } else {
        write("event-channel", queue.tx_port);
    }
    queue.push_rx();
    return ok;
}

bool NetDevice::publish(const NetOptions& options) {
    used_queues_ = options.queues;
    for (const char* old :
         {"event-channel", "event-channel-tx", "event-channel-rx", "queue-0", "queue-1", "multi-queue-num-queues"}) {
        bus.remove(old);
    }
    const char* segments = options.segments ? "1" : "0";
    bool ok = bus.write("request-rx-copy", "1") && bus.write("feature-rx-notify", "1") &&
              bus.write("feature-sg", options.scatter ? "1" : "0") && bus.write("feature-gso-tcpv4", segments) &&
              bus.write("feature-gso-tcpv6", segments) &&
              bus.write("feature-no-csum-offload", options.checksum ? "0" : "1") &&
              bus.write("feature-ipv6-csum-offload", options.checksum ? "1" : "0");
    if (options.queues > 1) {
        ok = bus.write("multi-queue-num-queues", options.queues) && ok;
    }
    for (unsigned i = 0; i < options.queues; ++i) {
        char prefix[16] = "";
        if (options.queues > 1) {
            print_to(prefix, sizeof(prefix), "queue-%u/", i);
        }
        ok = publish_queue(i, options.split_events, prefix) && ok;
    }
    return ok;
}

bool NetDevice::connect(const NetOptions& options) {
    constexpr unsigned ends = state_bit(XenbusStateConnected) | state_bit(XenbusStateClosing) |
                              state_bit(XenbusStateClosed) | state_bit(XenbusStateUnknown);
    return publish(options) && bus.set_state(XenbusStateConnected) && bus.wait_backend(ends) == XenbusStateConnected;
}

bool NetDevice::close() {
    bool ok = bus.restart();
    for (unsigned i = 0; i < used_queues_; ++i) {
        NetQueue& queue = queues_[i];
        ok = end_all(ring_refs_[i], 2) && ok;
        ok = end_all(queue.buffer_refs, rx_buffers) && ok;
        close_port(queue.tx_port);
        if (queue.rx_port != queue.tx_port) {
            close_port(queue.rx_port);
        }
    }
    used_queues_ = 0;
    return ok;
}

int NetDevice::send(TxFrame& frame, unsigned index, unsigned piece) {
    NetQueue& queue = queues_[index];
    frame.grant();
    const bool segments = frame.flags.gso_type != XEN_NETIF_GSO_TYPE_NONE;
    unsigned requests = 0;
    for (unsigned at = 0; at < frame.size;) {
        unsigned part = page_size - at % page_size;
        part = part < piece ? part : piece;
        part = part < frame.size - at ? part : frame.size - at;
        netif_tx_request_t& request = queue.next_tx();
        ++requests;
        request.gref = frame.refs[at / page_size];
        request.offset = static_cast<uint16_t>(at % page_size);
        request.size = static_cast<uint16_t>(at == 0 ? frame.size : part);
        request.flags = at + part < frame.size ? NETTXF_more_data : 0;
        if (at == 0) {
            request.flags |= static_cast<uint16_t>((frame.flags.csum_blank ? NETTXF_csum_blank : 0) |
                                                   (frame.flags.validated ? NETTXF_data_validated : 0) |
                                                   (segments ? NETTXF_extra_info : 0));
        }
        if (at == 0 && segments) {
            netif_extra_info_t extra{};
            extra.type = XEN_NETIF_EXTRA_TYPE_GSO;
            extra.u.gso.size = frame.flags.gso_size;
            extra.u.gso.type = frame.flags.gso_type;
            memcpy(&queue.next_tx(), &extra, sizeof(extra));
            ++requests;
        }
        at += part;
    }
    queue.push_tx();
    int status = NETIF_RSP_OKAY;
    for (unsigned i = 0; i < requests; ++i) {
        netif_tx_response_t response{};
        if (!queue.take_tx(response)) {
            return no_answer;
        }
        status = response.status != NETIF_RSP_NULL && response.status != NETIF_RSP_OKAY ? response.status : status;
    }
    return status;
}

long NetDevice::receive_from(NetQueue& queue, unsigned char* to, size_t size, FrameFlags& flags) {
    size_t done = 0;
    unsigned used = 0;
    netif_rx_response_t response{};
    do {
        const RING_IDX slot = queue.rx.rsp_cons;
        if (!queue.take_rx(response, 100)) { // a packet comes as a whole
            return -1;
        }
        if (response.id != (slot & (RING_SIZE(&queue.rx) - 1)) || response.status < 0 ||
            response.offset + static_cast<unsigned>(response.status) > page_size ||
            done + static_cast<unsigned>(response.status) > size) {
            return -1;
        }
        const auto part = static_cast<unsigned>(response.status);
        memcpy(to + done, queue.buffers + slot % rx_buffers * page_size + response.offset, part);
        done += part;
        if (used++ == 0) {
            flags = {.csum_blank = (response.flags & NETRXF_csum_blank) != 0,
                     .validated = (response.flags & NETRXF_data_validated) != 0};
        }
        if (used == 1 && (response.flags & NETRXF_extra_info) != 0) {
            netif_rx_response_t in_its_slot{};
            if (!queue.take_rx(in_its_slot, 100)) {
                return -1;
            }
            netif_extra_info_t info;
            memcpy(&info, &in_its_slot, sizeof(info));
            flags.gso_size = info.u.gso.size;
            flags.gso_type = info.u.gso.type;
            ++used;
        }
    } while ((response.flags & NETRXF_more_data) != 0);
    for (unsigned i = 0; i < used; ++i) {
        queue.offer_buffer();
    }
    queue.push_rx();
    return static_cast<long>(done);
}

long NetDevice::receive(unsigned char* to, size_t size, FrameFlags& flags, unsigned milliseconds) {
    const uint64_t end = now_ns() + milliseconds * 1'000'000ul;
    do {
        for (unsigned i = 0; i < used_queues_; ++i) {
            if (wait_for_response(queues_[i].rx, queues_[i].rx_port, used_queues_ == 1 ? milliseconds : 1)) {
                return receive_from(queues_[i], to, size, flags);
            }
        }
    } while (now_ns() < end);
    return 0;
}

} // namespace parapet::guest
