// SPDX-License-Identifier: Apache-2.0
// The cable between two domains. Each message is a LinkHeader and, for a frame, its bytes; checksums and large TCP
// segments pass unfinished where the other side's guest takes them. The sides do not trust each other.
//
//   listener                                   connector
//   accept   ◀───────────────────────────────  connect (before it is confined)
//   hello {offloads} + the listening socket ─▶  keeps it: should the listener's process end, the other one accepts
//   ◀─────────────────────────────── hello {offloads}
//   frames ◀──────────────────────────────────▶ frames
//   bye: no guest is connected; frames to it are dropped until its next hello
#pragma once

#include "backends/net/endpoint.hpp"
#include "backends/net/link_socket.hpp"

#include <deque>
#include <sys/socket.h>

namespace parapet::net {

enum class LinkMessage : std::uint8_t { frame = 1, hello = 2, bye = 3 };

struct LinkHeader {
    LinkMessage type = LinkMessage::frame;
    std::uint8_t version = 1;
    virtio_net_hdr offload{}; ///< hello: flags bit 0 checksum, bit 1 TSO4, bit 2 TSO6
};
static_assert(sizeof(LinkHeader) == 12);

class LinkEndpoint final : public Endpoint, private OutFrameOperator {
public:
    LinkEndpoint(std::string path, LinkSockets sockets)
        : path_{std::move(path)}, listener_{std::move(sockets.listener)}, peer_{std::move(sockets.peer)} {}

    [[nodiscard]] std::string describe() const override { return "socket " + path_; }
    void hand_over(devices::Handover& handover) override;
    void start(io::IoThread& io, Offloads accepted, Events events) override;
    void send(unsigned queue, OutFrame& frame) override;
    int receive(unsigned queue, InFrame& frame) override;
    void stop(std::function<void()> done) override;

private:
    enum class Operation { accepting, resting, receiving, talking, cancelling, cancelling_frames };
    struct Done final : io::Completion {
        Done(LinkEndpoint& to, Operation which) : endpoint{to}, operation{which} {}
        void complete(int result, unsigned) override { endpoint.done(operation, result); }
        LinkEndpoint& endpoint;
        Operation operation;
    };

    void frame_operation_done(OutFrame& frame, int result) override;
    void done(Operation operation, int result);
    void operation_over();
    void accept();
    void accepted(int result);
    void read();
    void received(int result);
    void take_listener();
    void hear_hello(const LinkHeader& header);
    [[nodiscard]] bool acceptable(std::size_t bytes) const;
    void say(LinkMessage type);
    void flush();
    void prepare_front();
    void drop_all();
    void lose_peer();
    void set_up(bool up);
    void cancel(io::Completion& completion);
    void cancel_frames();

    std::string path_;
    UniqueFd listener_, peer_;
    const uid_t own_user_ = ::geteuid();
    io::IoThread* io_ = nullptr;
    Events events_;
    Offloads accepted_, peer_accepts_;
    bool up_ = false;    ///< the peer's guest is connected
    bool short_ = false; ///< the last accept() failed for want of descriptors or memory
    unsigned operations_ = 0;
    std::function<void()> stopped_;

    std::deque<OutFrame*> outgoing_; ///< the first `in_flight_` are in the ring
    std::size_t in_flight_ = 0;
    static constexpr std::size_t most_in_flight = 32;
    std::array<msghdr, most_in_flight> messages_{};
    bool flush_due_ = false, cancelling_frames_ = false;
    bool broken_ = false; ///< the peer is to be given up when nothing is in flight

    InFrame* waiting_ = nullptr;
    bool receiving_ = false, accepting_ = false, talking_ = false;
    std::deque<LinkMessage> to_say_;
    LinkHeader heard_, said_;
    std::array<iovec, InFrame::most_parts> pieces_{};
    msghdr in_message_{}, out_message_{};
    iovec out_piece_{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> in_control_{}, out_control_{};

    Done accept_done_{*this, Operation::accepting}, rest_done_{*this, Operation::resting},
        receive_done_{*this, Operation::receiving}, say_done_{*this, Operation::talking},
        cancel_done_{*this, Operation::cancelling}, frames_cancel_done_{*this, Operation::cancelling_frames};
};

} // namespace parapet::net
