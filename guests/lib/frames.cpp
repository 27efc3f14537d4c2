// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/frames.hpp"

#include "guests/lib/console.hpp"

namespace parapet::guest {

namespace {

constexpr uint8_t protocol_tcp = 6, protocol_udp = 17;
constexpr unsigned our_port = 4711;

void put16(unsigned char* at, unsigned value) {
    at[0] = static_cast<unsigned char>(value >> 8);
    at[1] = static_cast<unsigned char>(value);
}
unsigned get16(const unsigned char* at) {
    return static_cast<unsigned>(at[0] << 8 | at[1]);
}

/// The Internet checksum's sum (RFC 1071), folded, not inverted.
uint32_t sum(const unsigned char* bytes, size_t size, uint32_t start = 0) {
    uint64_t total = start;
    for (size_t i = 0; i + 1 < size; i += 2) {
        total += get16(bytes + i);
    }
    if (size % 2 != 0) {
        total += static_cast<unsigned>(bytes[size - 1] << 8);
    }
    while (total > 0xffff) {
        total = (total & 0xffff) + (total >> 16);
    }
    return static_cast<uint32_t>(total);
}

bool is_ipv6(const unsigned char* frame) {
    return get16(frame + 12) == 0x86dd;
}
unsigned transport_offset(const unsigned char* frame) {
    return ethernet_bytes + (is_ipv6(frame) ? ipv6_bytes : ipv4_bytes);
}
uint8_t protocol_of(const unsigned char* frame) {
    return frame[ethernet_bytes + (is_ipv6(frame) ? 6 : 9)];
}
unsigned checksum_offset(const unsigned char* frame) {
    return transport_offset(frame) + (protocol_of(frame) == protocol_tcp ? 16 : 6);
}

uint32_t pseudo_sum(const unsigned char* frame, unsigned length) {
    const unsigned char* addresses = frame + ethernet_bytes + (is_ipv6(frame) ? 8 : 12);
    return sum(addresses, is_ipv6(frame) ? 32 : 8, protocol_of(frame) + length);
}

void put_ipv4(unsigned char* at, uint8_t protocol, unsigned length) {
    at[0] = 0x45;
    put16(at + 2, ipv4_bytes + length);
    at[8] = 64;
    at[9] = protocol;
    const uint8_t addresses[] = {10, 9, 0, 1, 10, 9, 0, 2};
    memcpy(at + 12, addresses, 8);
    put16(at + 10, ~sum(at, ipv4_bytes) & 0xffff);
}

void put_ipv6(unsigned char* at, uint8_t protocol, unsigned length) {
    at[0] = 0x60;
    put16(at + 4, length);
    at[6] = protocol;
    at[7] = 64;
    at[8] = at[24] = 0xfd;
    at[23] = 1, at[39] = 2;
}

} // namespace

void make_frame(TxFrame& frame, const uint8_t* to, const uint8_t* from, const FrameKind& kind, unsigned payload,
                unsigned seed) {
    unsigned char* bytes = frame.bytes();
    const unsigned header = kind.tcp ? tcp_bytes : udp_bytes;
    const unsigned ip = kind.ipv6 ? ipv6_bytes : ipv4_bytes;
    frame.size = ethernet_bytes + ip + header + payload;
    frame.flags = {.csum_blank = kind.blank || kind.segment != 0, .validated = kind.blank || kind.segment != 0};
    if (kind.segment != 0) {
        frame.flags.gso_size = kind.segment;
        frame.flags.gso_type = kind.ipv6 ? XEN_NETIF_GSO_TYPE_TCPV6 : XEN_NETIF_GSO_TYPE_TCPV4;
    }
    memset(bytes, 0, ethernet_bytes + ip + header);
    memcpy(bytes, to, 6);
    memcpy(bytes + 6, from, 6);
    put16(bytes + 12, kind.ipv6 ? 0x86dd : 0x0800);
    const uint8_t protocol = kind.tcp ? protocol_tcp : protocol_udp;
    (kind.ipv6 ? put_ipv6 : put_ipv4)(bytes + ethernet_bytes, protocol, header + payload);
    unsigned char* transport = bytes + ethernet_bytes + ip;
    put16(transport, our_port);
    put16(transport + 2, our_port);
    if (kind.tcp) {
        transport[12] = tcp_bytes / 4 << 4;
        transport[13] = 0x10; // ACK
        put16(transport + 14, 0xffff);
    } else {
        put16(transport + 4, header + payload);
    }
    for (unsigned i = 0; i < payload; ++i) {
        transport[header + i] = static_cast<unsigned char>(i * 7 + i / 251 + seed);
    }
    const uint32_t start = pseudo_sum(bytes, header + payload);
    put16(bytes + checksum_offset(bytes),
          frame.flags.csum_blank ? start : ~sum(transport, header + payload, start) & 0xffff);
}

const char* check_frame(const unsigned char* bytes, size_t size, const TxFrame& sent, bool blank) {
    static char text[80];
    unsigned char* original = const_cast<TxFrame&>(sent).bytes();
    if (size != sent.size) {
        print_to(text, sizeof(text), "%lu bytes came of %u", size, sent.size);
        return text;
    }
    const unsigned checksum = checksum_offset(original);
    for (size_t i = 0; i < size; ++i) {
        if (bytes[i] != original[i] && i != checksum && i != checksum + 1) {
            print_to(text, sizeof(text), "byte %lu of %lu is %x, was %x", i, size, bytes[i], original[i]);
            return text;
        }
    }
    const unsigned transport = transport_offset(bytes);
    const auto length = static_cast<unsigned>(size - transport);
    if (!blank && sum(bytes + transport, length, pseudo_sum(bytes, length)) != 0xffff) {
        print_to(text, sizeof(text), "a wrong checksum, %x", get16(bytes + checksum));
        return text;
    }
    return nullptr;
}

bool is_ours(const unsigned char* bytes, size_t size) {
    return size >= ethernet_bytes + ipv4_bytes + udp_bytes &&
           (get16(bytes + 12) == 0x0800 || get16(bytes + 12) == 0x86dd) && size > transport_offset(bytes) + 4 &&
           get16(bytes + transport_offset(bytes)) == our_port;
}

} // namespace parapet::guest
