// SPDX-License-Identifier: Apache-2.0
// Fuzz driver of the network backend's rings: the input is a program of a hostile frontend and of the frames that an
// endpoint brings. After each step: what is sent lies in memory of the guest that it granted (or in our copy of its
// headers), what was never granted is untouched, and in the end no grant is in use.
// Build with clang, -DPARAPET_FUZZ=ON, target net_ring_fuzz.
#include "backends/net/segment.hpp"
#include "backends/net/vif_connection.hpp"
#include "pv-abi/netif.hpp"
#include "tests/unit/grants/fake_guest.hpp"
#include "tests/unit/io/manual_io.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

namespace {

using namespace parapet;
using namespace parapet::net;
using grants::test::FakeGuest;

void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", what);
        std::abort();
    }
}

/// Hands out the input piece by piece; zeroes after its end.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : data_{data}, size_{size} {}
    [[nodiscard]] bool empty() const { return at_ >= size_; }
    unsigned byte() { return empty() ? 0 : data_[at_++]; }
    unsigned word() { return byte() | byte() << 8; }
    std::uint32_t dword() { return word() | static_cast<std::uint32_t>(word()) << 16; }

private:
    const std::uint8_t* data_;
    std::size_t size_, at_ = 0;
};

// Frames 128, 129: the rings. 130 … 145 granted to be read, 146 … 177 also to be written. The rest never.
constexpr std::uint64_t tx_ring = 128, rx_ring = 129, first_read = 130, first_written = 146, first_private = 178;
constexpr std::byte untouched{0xa5};

/// Keeps what is sent until the program lets it go; gives what the program brings.
class FuzzEndpoint final : public Endpoint {
public:
    explicit FuzzEndpoint(const FakeGuest& guest) : guest_{guest} {}
    [[nodiscard]] std::string describe() const override { return "fuzz"; }
    void hand_over(devices::Handover&) override {}
    void start(io::IoThread&, Offloads, Events) override {}
    void send(unsigned, OutFrame& frame) override {
        check(frame);
        held_.push_back(&frame);
    }
    int receive(unsigned, InFrame& frame) override {
        require(waiting_ == nullptr, "one frame at a time");
        std::size_t room = 0;
        for (unsigned i = 1; i < frame.count; ++i) {
            room += frame.parts[i].iov_len;
        }
        require(room >= most_frame_bytes, "there is room for the largest frame");
        if (!incoming_.empty()) {
            return give(frame);
        }
        waiting_ = &frame;
        return 0;
    }
    void stop(std::function<void()> done) override {
        while (!held_.empty()) {
            let_go(-ECANCELED);
        }
        if (waiting_ != nullptr) {
            std::exchange(waiting_, nullptr)->received(-ECANCELED);
        }
        done();
    }

    void let_go(int result) {
        if (!held_.empty()) {
            OutFrame* const frame = held_.front();
            held_.pop_front();
            check(*frame); // its memory is still the guest's to lend
            frame->sent(result);
        }
    }
    /// Finishes the frame as an endpoint without offloads does.
    void finish_and_let_go(bool cut) {
        if (held_.empty()) {
            return;
        }
        OutFrame* const frame = held_.front();
        held_.pop_front();
        const auto segments = cut ? cut_segments(*frame) : std::vector<OwnedFrame*>{};
        for (OwnedFrame* segment : segments) {
            segment->sent(0); // the last one's is the frame's
        }
        if (segments.empty()) {
            finish_checksum(*frame);
            frame->sent(0);
        }
    }
    void bring(std::size_t bytes, const virtio_net_hdr& offload) {
        if (incoming_.size() < 16) {
            incoming_.push_back({bytes, offload});
        }
        if (waiting_ != nullptr) {
            InFrame& frame = *std::exchange(waiting_, nullptr);
            frame.received(give(frame));
        }
    }

private:
    void check(const OutFrame& frame) const {
        std::size_t bytes = 0;
        require(frame.count <= OutFrame::most_parts, "parts are counted");
        const std::byte* const base = guest_.frames.base();
        for (unsigned i = 1; i < frame.count; ++i) {
            const auto* from = static_cast<const std::byte*>(frame.parts[i].iov_base);
            bytes += frame.parts[i].iov_len;
            if (from >= base && from < base + guest_.frames.bytes()) {
                const auto mfn = static_cast<std::uint64_t>(from - base) / 4096;
                const auto last = static_cast<std::uint64_t>(from - base + frame.parts[i].iov_len - 1) / 4096;
                require(mfn == last && mfn >= tx_ring && mfn < first_private, "a part lies in one granted page");
            } else {
                require(i == 1 && frame.parts[i].iov_len <= most_header_bytes, "only headers are copied");
            }
        }
        require(bytes == frame.bytes && bytes >= ethernet_header && bytes <= 0xffff, "the parts are the frame");
        require(plausible(frame.offload, bytes), "the offload fits the frame");
    }
    int give(InFrame& frame) {
        auto [left, offload] = incoming_.front();
        incoming_.pop_front();
        const int bytes = static_cast<int>(left);
        for (unsigned i = 1; i < frame.count; ++i) {
            const std::size_t part = std::min(left, frame.parts[i].iov_len);
            std::memset(frame.parts[i].iov_base, 0x11, part);
            left -= part;
        }
        frame.offload = offload;
        return bytes;
    }

    const FakeGuest& guest_;
    std::deque<OutFrame*> held_;
    InFrame* waiting_ = nullptr;
    std::deque<std::pair<std::size_t, virtio_net_hdr>> incoming_;
};

class Run {
public:
    explicit Run(Input& input) : input_{input} {
        guest_.grow(1);
        for (std::uint64_t mfn = tx_ring; mfn < first_private; ++mfn) {
            const bool writable = mfn < first_read || mfn >= first_written;
            guest_.grant(static_cast<std::uint32_t>(mfn), mfn, writable ? 0 : abi::GTF_readonly);
        }
        for (std::uint64_t mfn = first_private; mfn < FakeGuest::low_end; ++mfn) {
            std::memset(guest_.frames.frame(mfn), static_cast<int>(untouched), 4096);
        }
    }
    void go() {
        open();
        for (unsigned steps = 0; !input_.empty() && steps < 2000; ++steps) {
            step();
            if (input_.byte() % 4 != 0) {
                io_.round();
            }
        }
        close();
        io_.fire_timers();
        static const std::vector<std::byte> pattern(4096, untouched);
        for (std::uint64_t mfn = first_private; mfn < FakeGuest::low_end; ++mfn) {
            require(std::memcmp(guest_.frames.frame(mfn), pattern.data(), pattern.size()) == 0,
                    "what was never granted is untouched");
        }
        require(std::all_of(guest_.host_use.begin(), guest_.host_use.end(), [](auto use) { return use == 0; }),
                "no frame is in use");
    }

private:
    void open() {
        FrontendFeatures features;
        const unsigned bits = input_.byte();
        features.scatter = (bits & 1) != 0;
        features.rx_notify = (bits & 2) != 0;
        features.offloads = {(bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0};
        const auto rate = (bits & 0xe0) == 0 ? std::optional{VifRate{100'000, 1000}} : std::nullopt;
        VifConnection::Events events;
        events.fail = [this](const std::string& why) {
            require(!failed_ && !why.empty(), "it fails once");
            failed_ = true;
        };
        failed_ = false;
        connection_ = std::make_shared<VifConnection>(io_, grants_, endpoint_, counters_, features, rate, events);
        QueueNodes nodes{tx_ring, rx_ring, 1, (bits & 32) != 0 ? 2U : 1U};
        if ((bits & 64) != 0) { // rings that are already full of something
            put(tx_ring, 0, input_.dword());
        }
        if (!connection_->open({nodes}).ok()) {
            connection_.reset();
        }
    }
    void close() {
        if (connection_ != nullptr) {
            bool done = false;
            connection_->close([&] { done = true; });
            for (int i = 0; i < 8 && !done; ++i) {
                io_.round();
            }
            require(done, "it lets go");
            connection_.reset();
        }
        while (!io_.idle()) {
            io_.round();
        }
        require(grants_.in_use() == 0, "no grant is in use");
    }
    void put(std::uint64_t ring, std::size_t offset, std::uint32_t value) {
        std::atomic_ref{guest_.at<std::uint32_t>(ring, offset)}.store(value);
    }
    std::uint32_t any_grant(std::uint64_t first, unsigned count) {
        const unsigned choice = input_.byte();
        return static_cast<std::uint32_t>(choice < 240 ? first + choice % count : input_.word());
    }

    void put_tx() {
        abi::netif_tx_request request{};
        const unsigned shape = input_.byte();
        request.gref = any_grant(first_read, first_private - first_read);
        request.flags = static_cast<std::uint16_t>(input_.byte() % 16);
        request.offset = static_cast<std::uint16_t>((shape & 1) != 0 ? input_.word() : input_.byte());
        request.size = static_cast<std::uint16_t>((shape & 2) != 0 ? input_.word() : input_.byte());
        request.id = static_cast<std::uint16_t>(tx_produced_);
        std::memcpy(slot(tx_ring, tx_produced_++, sizeof(request)), &request, sizeof(request));
    }
    void put_extra() {
        abi::netif_extra_info extra{};
        extra.type = static_cast<std::uint8_t>(input_.byte() % 7);
        extra.flags = static_cast<std::uint8_t>(input_.byte() % 2);
        extra.u.gso.size = static_cast<std::uint16_t>(input_.word());
        extra.u.gso.type = static_cast<std::uint8_t>(input_.byte() % 4);
        std::memcpy(slot(tx_ring, tx_produced_++, sizeof(abi::netif_tx_request)), &extra, sizeof(extra));
    }
    void put_rx() {
        const abi::netif_rx_request request{static_cast<std::uint16_t>(rx_produced_), 0,
                                            any_grant(first_written, first_private - first_written)};
        std::memcpy(slot(rx_ring, rx_produced_++, sizeof(request)), &request, sizeof(request));
    }
    std::byte* slot(std::uint64_t ring, std::uint32_t index, std::size_t size) {
        return guest_.frames.frame(ring) + 64 + (index % 256) * size;
    }
    void write_headers() {
        // Something that looks like TCP in a page to be sent.
        std::byte* page = guest_.frames.frame(first_read + input_.byte() % 16);
        const bool ipv6 = input_.byte() % 2 != 0;
        page[12] = std::byte(ipv6 ? 0x86 : 0x08);
        page[13] = std::byte(ipv6 ? 0xdd : 0x00);
        page[14] = std::byte(ipv6 ? 0x60 : 0x40 | input_.byte() % 16);
        page[ipv6 ? 20 : 23] = std::byte(input_.byte() % 3 != 0 ? 6 : input_.byte());
        page[ipv6 ? 66 : 46] = std::byte(input_.byte());
        page[20] = ipv6 ? page[20] : std::byte{};
        page[21] = ipv6 ? page[21] : std::byte{};
    }
    void bring_frame() {
        virtio_net_hdr offload{};
        const unsigned bits = input_.byte();
        offload.flags = bits % 4;
        offload.gso_type = (bits & 4) == 0   ? VIRTIO_NET_HDR_GSO_NONE
                           : (bits & 8) == 0 ? VIRTIO_NET_HDR_GSO_TCPV4
                                             : VIRTIO_NET_HDR_GSO_TCPV6;
        offload.gso_size = static_cast<std::uint16_t>(input_.word());
        const std::size_t bytes = (bits & 16) != 0 ? input_.word() + 100 : input_.byte() + ethernet_header;
        endpoint_.bring(std::min(bytes, most_frame_bytes), offload);
    }

    void step() {
        switch (input_.byte() % 20) {
        case 0:
            put(tx_ring, input_.byte() % 4 * 4, input_.dword());
            break;
        case 1:
            put(rx_ring, input_.byte() % 4 * 4, input_.dword());
            break;
        case 2:
            guest_.at<std::byte>(input_.byte() % 2 != 0 ? tx_ring : rx_ring, input_.word() % 4096) =
                std::byte(input_.byte());
            break;
        case 3:
        case 4:
        case 5:
            put_tx();
            break;
        case 6:
            put_extra();
            break;
        case 7:
            for (unsigned i = input_.byte() % 24; i != 0; --i) {
                put_rx();
            }
            [[fallthrough]];
        case 8:
            put(rx_ring, 0, rx_produced_);
            io_.kick(1);
            io_.kick(2);
            break;
        case 9:
        case 10:
            put(tx_ring, 0, tx_produced_);
            io_.kick(1);
            break;
        case 11:
        case 12:
            bring_frame();
            break;
        case 13:
            endpoint_.let_go(input_.byte() % 4 == 0 ? -EIO : 0);
            break;
        case 14:
            endpoint_.finish_and_let_go(input_.byte() % 2 != 0);
            break;
        case 15:
            io_.fire_timers();
            break;
        case 16:
            write_headers();
            break;
        case 17: { // a grant comes or goes
            const auto ref = static_cast<std::uint32_t>(first_read + input_.byte() % (first_private - first_read));
            if (const unsigned kind = input_.byte() % 4; kind == 0) {
                guest_.v1(ref).flags = 0;
            } else {
                guest_.grant(ref, ref, kind == 1 ? abi::GTF_readonly : 0, kind == 2 ? 7 : 0);
            }
            break;
        }
        case 18: { // a frame becomes a page table, or a common one again
            const std::uint64_t mfn = first_written + input_.byte() % (first_private - first_written);
            if (guest_.host_use[mfn] == 0) {
                guest_.set_frame(mfn, doorbell::FrameOwner::domain,
                                 input_.byte() % 2 != 0 ? doorbell::FrameType::l1 : doorbell::FrameType::none);
            }
            break;
        }
        default:
            close();
            if (input_.byte() % 2 != 0) {
                std::memset(guest_.frames.frame(tx_ring), 0, 4096);
                std::memset(guest_.frames.frame(rx_ring), 0, 4096);
                tx_produced_ = rx_produced_ = 0;
            }
            open();
        }
    }

    Input& input_;
    FakeGuest guest_;
    grants::HostGrants grants_{guest_.grants()};
    io::test::ManualIo io_;
    FuzzEndpoint endpoint_{guest_};
    VifCounters counters_;
    std::shared_ptr<VifConnection> connection_;
    bool failed_ = false;
    std::uint32_t tx_produced_ = 0, rx_produced_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{data, size};
    Run{input}.go();
    return 0;
}
