// SPDX-License-Identifier: Apache-2.0
// Frames to send, and an endpoint that remembers them.
#pragma once

#include "backends/net/endpoint.hpp"
#include "backends/net/packet.hpp"

#include <cstring>
#include <deque>
#include <mutex>
#include <netinet/in.h>
#include <optional>
#include <vector>

namespace parapet::net::test {

using Bytes = std::vector<std::byte>;

inline void put16(Bytes& to, std::size_t at, unsigned value) {
    to[at] = std::byte(value >> 8);
    to[at + 1] = std::byte(value);
}

/// A frame with `payload` bytes of TCP or UDP, its checksum left blank: the pseudo-header's sum stands in its place.
inline Bytes blank_frame(bool ipv6, bool tcp, std::size_t payload) {
    const std::size_t ip = ipv6 ? 40 : 20, transport = tcp ? 20 : 8, start = ethernet_header + ip;
    Bytes frame(start + transport + payload);
    for (std::size_t i = start + transport; i < frame.size(); ++i) {
        frame[i] = std::byte(i * 7 + i / 251);
    }
    for (std::size_t i = 0; i < 12; ++i) {
        frame[i] = std::byte(2 + i);
    }
    put16(frame, 12, ipv6 ? 0x86dd : 0x0800);
    const unsigned protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
    if (ipv6) {
        frame[14] = std::byte{0x60};
        put16(frame, 18, static_cast<unsigned>(transport + payload));
        frame[20] = std::byte(protocol);
    } else {
        frame[14] = std::byte{0x45};
        put16(frame, 16, static_cast<unsigned>(ip + transport + payload));
        frame[23] = std::byte(protocol);
    }
    for (std::size_t i = ipv6 ? 22 : 26; i < start; ++i) {
        frame[i] = std::byte(0x20 + i); // the addresses
    }
    if (tcp) {
        frame[start + 12] = std::byte{0x50};
    } else {
        put16(frame, start + 4, static_cast<unsigned>(8 + payload));
    }
    ChecksumSum sum;
    sum.add(std::span{frame}.subspan(ipv6 ? 22 : 26, ipv6 ? 32 : 8));
    Bytes rest(4);
    put16(rest, 0, static_cast<unsigned>(transport + payload));
    rest[3] = std::byte(protocol);
    sum.add(rest);
    const std::uint16_t folded = sum.folded();
    std::memcpy(&frame[start + (tcp ? 16 : 6)], &folded, 2);
    return frame;
}

/// Does the frame's TCP or UDP checksum hold?
inline bool sums_up(const Bytes& frame) {
    const auto found = find_transport(frame);
    if (!found) {
        return false;
    }
    ChecksumSum sum;
    sum.add(std::span{frame}.subspan(found->ipv6 ? 22 : 26, found->ipv6 ? 32 : 8));
    Bytes rest(4);
    put16(rest, 0, static_cast<unsigned>(frame.size() - found->start));
    rest[3] = std::byte(found->tcp ? IPPROTO_TCP : IPPROTO_UDP);
    sum.add(rest);
    sum.add(std::span{frame}.subspan(found->start));
    return sum.folded() == 0xffff;
}

/// A frame that is no IP.
inline Bytes plain_frame(std::size_t size, unsigned seed = 1) {
    Bytes frame(size);
    for (std::size_t i = 0; i < size; ++i) {
        frame[i] = std::byte(i * 31 + seed);
    }
    put16(frame, 12, 0x88b5);
    return frame;
}

inline Bytes gather(const OutFrame& frame) {
    Bytes all;
    for (unsigned i = 1; i < frame.count; ++i) {
        const auto* bytes = static_cast<const std::byte*>(frame.parts[i].iov_base);
        all.insert(all.end(), bytes, bytes + frame.parts[i].iov_len);
    }
    return all;
}

/// Keeps what the guest sends, and gives it what the test puts.
class MemoryEndpoint final : public Endpoint {
public:
    struct Sent {
        Bytes bytes;
        virtio_net_hdr offload;
        unsigned queue;
    };
    explicit MemoryEndpoint(unsigned queues = 1) : waiting_(queues), incoming_(queues) {}

    [[nodiscard]] std::string describe() const override { return "memory"; }
    [[nodiscard]] unsigned queues() const override { return static_cast<unsigned>(waiting_.size()); }
    void hand_over(devices::Handover&) override {}
    void start(io::IoThread& io, Offloads accepted, Events events) override {
        const std::lock_guard lock{mutex_};
        io_ = &io;
        offloads = accepted;
        events_ = std::move(events);
    }
    void send(unsigned queue, OutFrame& frame) override {
        const std::lock_guard lock{mutex_};
        sent_.push_back({gather(frame), frame.offload, queue});
        if (hold_) {
            held_.push_back(&frame);
        } else {
            io_->defer([&frame] { frame.sent(0); });
        }
    }
    int receive(unsigned queue, InFrame& frame) override {
        const std::lock_guard lock{mutex_};
        if (!incoming_[queue].empty()) {
            return give(queue, frame);
        }
        waiting_[queue] = &frame;
        return 0;
    }
    void stop(std::function<void()> done) override {
        std::vector<OutFrame*> frames;
        std::vector<InFrame*> rooms;
        {
            const std::lock_guard lock{mutex_};
            frames = std::exchange(held_, {});
            rooms = std::exchange(waiting_, std::vector<InFrame*>(waiting_.size()));
        }
        for (OutFrame* frame : frames) {
            frame->sent(-ECANCELED);
        }
        for (InFrame* frame : rooms) {
            if (frame != nullptr) {
                frame->received(-ECANCELED);
            }
        }
        if (slow_stop) {
            stopped = std::move(done);
        } else {
            done();
        }
    }

    // From the test.

    void put(io::IoThread& io, Bytes bytes, virtio_net_hdr offload = {}, unsigned queue = 0) {
        io.call([&] {
            InFrame* ready = nullptr;
            int length = 0;
            {
                const std::lock_guard lock{mutex_};
                incoming_[queue].push_back({std::move(bytes), offload, queue});
                if (waiting_[queue] != nullptr) {
                    ready = std::exchange(waiting_[queue], nullptr);
                    length = give(queue, *ready);
                }
            }
            if (ready != nullptr) {
                ready->received(length);
            }
        });
    }
    [[nodiscard]] std::size_t count() {
        const std::lock_guard lock{mutex_};
        return sent_.size();
    }
    Sent sent(std::size_t index) {
        const std::lock_guard lock{mutex_};
        return sent_.at(index);
    }
    void hold(bool on) {
        const std::lock_guard lock{mutex_};
        hold_ = on;
    }
    Offloads offloads;
    bool slow_stop = false;        ///< set it before the guest connects
    std::function<void()> stopped; ///< with slow_stop: to be called on the I/O thread

private:
    int give(unsigned queue, InFrame& frame) {
        const Sent next = std::move(incoming_[queue].front());
        incoming_[queue].pop_front();
        std::size_t done = 0;
        for (unsigned i = 1; i < frame.count && done < next.bytes.size(); ++i) {
            const std::size_t part = std::min(frame.parts[i].iov_len, next.bytes.size() - done);
            std::memcpy(frame.parts[i].iov_base, &next.bytes[done], part);
            done += part;
        }
        frame.offload = next.offload;
        return static_cast<int>(done);
    }

    std::mutex mutex_;
    io::IoThread* io_ = nullptr;
    Events events_;
    std::vector<Sent> sent_;
    std::vector<OutFrame*> held_;
    std::vector<InFrame*> waiting_;
    std::vector<std::deque<Sent>> incoming_;
    bool hold_ = false;
};

} // namespace parapet::net::test
