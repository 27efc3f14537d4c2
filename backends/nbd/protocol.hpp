// SPDX-License-Identifier: Apache-2.0
// What the vmm process and its NBD helper (parapet-nbd) say to each other. Messages go over a SOCK_SEQPACKET pair, each
// whole or not at all; data lies in a memory file that both have mapped, cut into slots.
//
//   helper                                vmm
//     Hello ────────────────────────────▶      once: the export's geometry, or one sentence of error
//           ◀──────────────── requests         slot, operation, offset, length: several in one message
//     completions ──────────────────────▶      slot, result
//     Event ────────────────────────────▶      the server went, came back, ...
//           ◀────────────────────── bye        nothing follows; the helper ends
//
// A slot belongs to the helper from the request to its completion. Neither side believes the other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace parapet::nbd {

constexpr std::uint32_t protocol_version = 1;
constexpr std::uint32_t slot_count = 128;
constexpr std::uint32_t slot_bytes = 128 << 10;
constexpr std::size_t memory_bytes = std::size_t{slot_count} * slot_bytes;
/// Most bytes of a request without data (discard, write_zeroes).
constexpr std::uint32_t most_without_data = 256 << 20;
/// Most requests or completions in a message.
constexpr std::uint32_t most_entries = 64;

enum class Kind : std::uint32_t { hello = 0x504e4231, requests, completions, event, bye };

struct Header {
    Kind kind{};
    std::uint32_t count = 0; ///< of entries that follow (requests, completions); bye: 0 or bye_at_once
};

namespace flag {
constexpr std::uint32_t read_only = 1, flush = 2, discard = 4, write_zeroes = 8, all = 15;
} // namespace flag

struct Hello {
    Header header{Kind::hello, 0};
    std::uint32_t version = protocol_version;
    std::uint32_t flags = 0;
    std::uint64_t bytes = 0;
    std::uint32_t least_block = 1;     ///< what offsets and lengths must be a multiple of
    std::uint32_t preferred_block = 0; ///< 0: unknown
    std::uint32_t most_data = 0;       ///< bytes in one read or write
    std::uint32_t failed = 0;          ///< 1: it could not start, and `error` says why
    std::array<char, 472> error{};     ///< ends with a zero
};

enum class Op : std::uint8_t { read, write, flush, discard, write_zeroes };

struct WireRequest {
    std::uint16_t slot = 0;
    Op op = Op::read;
    std::uint8_t fua = 0;
    std::uint32_t length = 0;
    std::uint64_t offset = 0;
};

struct WireCompletion {
    std::uint16_t slot = 0;
    std::uint16_t zero = 0;
    std::int32_t result = 0; ///< 0 or -errno
};

enum class Happening : std::uint32_t {
    lost,     ///< the connection to the server is gone; requests wait
    gave_up,  ///< it has been gone for too long: requests fail until it returns
    returned, ///< it is back, and has again what was written before
    changed,  ///< what came back is not the same disk: every request fails from now on
    refused,  ///< it is back, but does not take again what it had not yet made durable: not used until it does
};

struct Event {
    Header header{Kind::event, 0};
    Happening what{};
    std::uint32_t zero = 0;
};

struct RequestMessage {
    Header header{Kind::requests, 0};
    std::array<WireRequest, most_entries> entries{};
};
struct CompletionMessage {
    Header header{Kind::completions, 0};
    std::array<WireCompletion, most_entries> entries{};
};
/// The disk was given up: the server gets a second to take what it was sent, not thirty.
constexpr std::uint32_t bye_at_once = 1;
struct Bye {
    Header header{Kind::bye, 0};
};

static_assert(sizeof(Header) == 8 && sizeof(Hello) == 512 && sizeof(Event) == 16);
static_assert(sizeof(WireRequest) == 16 && sizeof(WireCompletion) == 8);
static_assert(sizeof(RequestMessage) == 8 + 16 * most_entries && sizeof(CompletionMessage) == 8 + 8 * most_entries);

/// Bytes of a message with so many entries.
template <typename Message>
constexpr std::size_t message_bytes(std::size_t entries) {
    return sizeof(Header) + entries * sizeof(typename decltype(Message::entries)::value_type);
}

/// The descriptors that the helper inherits.
constexpr int helper_socket_fd = 3, helper_memory_fd = 4;

} // namespace parapet::nbd
