// SPDX-License-Identifier: Apache-2.0
// Ethernet frames on their way between a guest's ring and an endpoint: pieces of guest memory, and what is left to be
// done to them by whoever has the hardware for it (a virtio_net_hdr, as Linux' tap has it).
#pragma once

#include "backends/io/io_thread.hpp"

#include <array>
#include <cstdint>
#include <sys/uio.h>

namespace parapet::net {

inline constexpr std::size_t ethernet_header = 14;
/// An IP packet of 64 KiB less one, with an Ethernet header and a VLAN tag.
inline constexpr std::size_t most_frame_bytes = 65535 + ethernet_header + 4;
inline constexpr std::size_t most_frame_pages = (most_frame_bytes + 4095) / 4096;

// Linux' <linux/virtio_net.h> does not compile as C++. Source: Virtual I/O Device (VIRTIO) 1.2, 5.1.6.

inline constexpr std::uint8_t VIRTIO_NET_HDR_F_NEEDS_CSUM =
    1; ///< sum from csum_start on, put at csum_offset from there
inline constexpr std::uint8_t VIRTIO_NET_HDR_F_DATA_VALID = 2;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_NONE = 0;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_TCPV4 = 1;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_TCPV6 = 4;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_ECN = 0x80; ///< or-ed to it

struct virtio_net_hdr {
    std::uint8_t flags;
    std::uint8_t gso_type;
    std::uint16_t hdr_len; ///< a hint
    std::uint16_t gso_size;
    std::uint16_t csum_start;
    std::uint16_t csum_offset;
};
static_assert(sizeof(virtio_net_hdr) == 10);

/// What a receiver accepts unfinished: blank TCP and UDP checksums, and TCP segments larger than the link's.
struct Offloads {
    bool checksum = false, tso4 = false, tso6 = false;
    friend bool operator==(const Offloads&, const Offloads&) = default;
};

class OutFrame;
/// Who carries out the sending, one operation of the ring for each frame.
class OutFrameOperator {
public:
    virtual void frame_operation_done(OutFrame& frame, int result) = 0;

protected:
    ~OutFrameOperator() = default;
};

/// From the guest. Its owner keeps it and the memory of its parts until sent() is called.
class OutFrame : public io::Completion {
public:
    static constexpr std::size_t most_parts = 24;

    virtio_net_hdr offload{};
    std::array<iovec, most_parts> parts{}; ///< [0] is the endpoint's: its own header
    unsigned count = 1;                    ///< parts in use, [0] included
    std::uint32_t bytes = 0;               ///< of parts [1, count)
    /// parts[1] is a copy of the first bytes of the frame, ours to change and safe from the guest, if offload asks for
    /// anything; it holds all headers then.
    std::array<std::byte, 16> prefix{}; ///< room for the endpoint's header
    OutFrameOperator* carrier = nullptr;

    /// 0, or -errno. Not from inside Endpoint::send().
    virtual void sent(int result) = 0;
    void complete(int result, unsigned) final { carrier->frame_operation_done(*this, result); }

protected:
    ~OutFrame() = default;
};

/// Room for a frame to the guest, most_frame_bytes in all. Its owner keeps it until received() is called.
class InFrame {
public:
    static constexpr std::size_t most_parts = 24;

    virtio_net_hdr offload{};
    std::array<iovec, most_parts> parts{}; ///< [0] is the endpoint's
    unsigned count = 1;

    /// Bytes of the frame in parts [1, count); or -ECANCELED, by Endpoint::stop(). Not from inside receive().
    virtual void received(int result) = 0;

protected:
    ~InFrame() = default;
};

} // namespace parapet::net
