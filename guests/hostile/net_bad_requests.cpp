// SPDX-License-Identifier: Apache-2.0
// Packets whose numbers cannot be, in either ring of a network interface: refused, dropped, or the device stopped.
// needs: disk 4M
// needs: vif socket=LINK
// needs: vif socket=LINK
// log: vif/0
#include "guests/hostile/net_abuse.hpp"

#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/grants.hpp"
#include "guests/lib/kernel.hpp"

namespace parapet::guest {

namespace {

NetAbuse abuse{"net_bad_requests"};

void ready() {
    if (abuse.stopped()) {
        abuse.recover("a bad packet");
    }
    make_frame(*abuse.frame, abuse.partner.offers().mac, abuse.victim.offers().mac, {}, 8'000, 1);
    abuse.frame->grant();
}

netif_tx_request_t& piece(unsigned page, unsigned size, unsigned flags) {
    netif_tx_request_t& request = abuse.victim.queue().next_tx();
    request.gref = abuse.frame->refs[page];
    request.size = static_cast<uint16_t>(size);
    request.flags = static_cast<uint16_t>(flags);
    return request;
}

void extra(uint8_t type, uint8_t flags, uint16_t size, uint8_t gso_type) {
    netif_extra_info_t info{};
    info.type = type;
    info.flags = flags;
    info.u.gso.size = size;
    info.u.gso.type = gso_type;
    memcpy(&abuse.victim.queue().next_tx(), &info, sizeof(info));
}

/// What was put goes; it must be answered with an error, or the device must stop.
void refused(const char* what, unsigned requests) {
    abuse.victim.queue().push_tx();
    const int status = abuse.answers(what, requests);
    abuse.check(status != NETIF_RSP_OKAY && status != NETIF_RSP_NULL, "%s: accepted", what);
}
/// It may be sent as it is or be dropped, but answered.
void harmless(const char* what, unsigned requests) {
    abuse.victim.queue().push_tx();
    abuse.answers(what, requests);
}

void sizes() {
    for (const unsigned size : {0u, 1u, 13u}) {
        ready();
        piece(0, size, 0);
        refused("a packet without room for a header", 1);
    }
    for (const unsigned offset : {1u, 4000u, 4095u, 4096u, 65535u}) {
        ready();
        piece(0, 4096, 0).offset = static_cast<uint16_t>(offset);
        refused("a piece that leaves its page", 1);
    }
    ready();
    piece(0, 65535, 0);
    refused("64 KiB in one page", 1);
    ready();
    piece(0, 100, NETTXF_more_data);
    piece(1, 200, 0);
    refused("pieces larger than the packet", 2);
    ready();
    piece(0, 300, NETTXF_more_data);
    piece(1, 295, 0);
    refused("a first piece without room for a header", 2);
    ready();
    piece(0, 65535, NETTXF_more_data);
    for (unsigned i = 1; i < 17; ++i) {
        piece(i % 2, 4096, i < 16 ? NETTXF_more_data : 0);
    }
    refused("pieces of 64 KiB and more", 17);
}

void chains() {
    const unsigned slots = RING_SIZE(&abuse.victim.queue().tx);
    for (const unsigned length : {19u, 40u, slots - 8}) {
        ready();
        for (unsigned i = 0; i < length; ++i) {
            piece(0, i == 0 ? 60'000 : 100, i + 1 < length ? NETTXF_more_data : 0);
        }
        refused("a packet of too many pieces", length);
    }
    ready();
    for (unsigned i = 0; i < slots; ++i) {
        piece(0, i == 0 ? 60'000 : 1, NETTXF_more_data);
    }
    refused("a packet without an end", slots);
}

void extras() {
    struct Wrong {
        uint8_t type;
        uint16_t size;
        uint8_t gso_type;
    };
    for (const Wrong wrong :
         {Wrong{0, 1448, 1}, Wrong{9, 0, 0}, Wrong{255, 1448, 1}, Wrong{XEN_NETIF_EXTRA_TYPE_GSO, 0, 1},
          Wrong{XEN_NETIF_EXTRA_TYPE_GSO, 1448, 0}, Wrong{XEN_NETIF_EXTRA_TYPE_GSO, 1448, 77}}) {
        ready();
        piece(0, 2000, NETTXF_extra_info | NETTXF_csum_blank);
        extra(wrong.type, 0, wrong.size, wrong.gso_type);
        refused("extra information that makes no sense", 2);
    }
    ready();
    piece(0, 2000, NETTXF_extra_info);
    for (unsigned i = 0; i < 30; ++i) {
        extra(XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_FLAG_MORE, 1448, 1);
    }
    refused("extra information without an end", 31);
    ready();
    piece(0, 2000, NETTXF_extra_info);
    refused("extra information that is not there", 1);
}

/// Segmentation and checksums asked for in frames that have none: headers that lie.
void lies() {
    for (unsigned place = 0; place < 54; ++place) {
        for (const uint8_t value : {uint8_t{0}, uint8_t{0xff}, uint8_t{0x4f}}) {
            ready();
            const FrameKind kind{.ipv6 = place % 3 == 0, .tcp = true, .segment = 1448};
            make_frame(*abuse.frame, abuse.partner.offers().mac, abuse.victim.offers().mac, kind, 3'000, 2);
            abuse.frame->bytes()[place] = value;
            piece(0, 3'000, NETTXF_csum_blank | NETTXF_data_validated | (place % 2 == 0 ? NETTXF_extra_info : 0));
            if (place % 2 == 0) {
                extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, static_cast<uint16_t>(1 + place * 31), kind.ipv6 ? 2 : 1);
            }
            harmless("a header that lies", place % 2 == 0 ? 2 : 1);
        }
        FrameFlags flags;
        static unsigned char drop[most_frame];
        while (abuse.partner.receive(drop, sizeof(drop), flags, 0) > 0) {
        }
    }
}

void wild_grants() {
    const grant_ref_t dead = grant_reserve();
    const grant_ref_t foreign = grant_reserve();
    grant_overwrite(foreign, GTF_permit_access, 0, start_info().shared_info >> page_shift);
    for (const grant_ref_t ref : {dead, foreign, grant_ref_t{0xffffffff}, grant_ref_t{100'000}}) {
        ready();
        piece(0, 1000, 0).gref = ref;
        refused("a piece that is not granted", 1);
        ready();
        piece(0, 1000, NETTXF_more_data);
        piece(1, 500, 0).gref = ref;
        refused("a second piece that is not granted", 2);
    }
}

template <typename Ring>
void jump(Ring& ring, evtchn_port_t port, RING_IDX by) {
    __atomic_store_n(&ring.sring->req_prod, ring.req_prod_pvt + by, __ATOMIC_SEQ_CST);
    notify_port(port);
    // The receive ring is looked at when what was taken from it before has been used.
    make_frame(*abuse.frame, abuse.victim.offers().mac, abuse.partner.offers().mac, {}, 100, 3);
    for (unsigned i = 0; i < rx_buffers + 8 && !abuse.stopped(); ++i) {
        abuse.partner.send(*abuse.frame);
    }
}

void jumps() {
    for (const RING_IDX by : {RING_IDX{257}, RING_IDX{0x10000}, RING_IDX{0x80000000}, RING_IDX{0xffffff00}}) {
        ready();
        jump(abuse.victim.queue().tx, abuse.victim.queue().tx_port, by);
        abuse.must_stop("a transmit index that jumps");
        abuse.recover("a transmit index that jumps");
        jump(abuse.victim.queue().rx, abuse.victim.queue().rx_port, by);
        abuse.must_stop("a receive index that jumps");
        abuse.recover("a receive index that jumps");
    }
}

/// Receive buffers that are not ours to give, or not to be written.
void receive_buffers() {
    const grant_ref_t dead = grant_reserve();
    const grant_ref_t table = grant_frame(virt_to_mfn(entry_of(virt_base)), false);
    const grant_ref_t read_only = grant_page(abuse.frame->bytes(), true);
    const grant_ref_t foreign = grant_frame(1, false);
    const uint64_t before = *static_cast<volatile uint64_t*>(entry_of(virt_base));
    for (const grant_ref_t ref : {dead, table, read_only, foreign, grant_ref_t{0xffffffff}}) {
        auto& ring = abuse.victim.queue().rx;
        const unsigned room = static_cast<unsigned>(RING_FREE_REQUESTS(&ring));
        for (unsigned i = 0; i < room; ++i) {
            abuse.victim.queue().offer_buffer();
            RING_GET_REQUEST(&ring, ring.req_prod_pvt - 1)->gref = ref;
        }
        abuse.victim.queue().push_rx();
        for (unsigned i = 0; i < rx_buffers + 8; ++i) { // the good ones are used up first
            make_frame(*abuse.frame, abuse.victim.offers().mac, abuse.partner.offers().mac, {}, 100, 3);
            abuse.partner.send(*abuse.frame);
        }
        abuse.recover("receive buffers that are not to be written");
        abuse.check(grant_use(ref & 511) == 0 || ref == 0xffffffff, "a bad receive buffer is in use");
    }
    abuse.check(*static_cast<volatile uint64_t*>(entry_of(virt_base)) == before, "a page table was received into");
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        abuse.recover("nothing yet");
        sizes();
        chains();
        extras();
        wild_grants();
        lies();
        abuse.recover("bad packets");
        jumps();
        receive_buffers();
        abuse.check(abuse.frame->end_grants(), "a sent page is still in use");
    }
    return abuse.finish();
}

} // namespace parapet::guest
