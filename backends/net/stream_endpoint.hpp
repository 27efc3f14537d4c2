// SPDX-License-Identifier: Apache-2.0
// The endpoint "user": a stream socket to passt, which takes and gives plain Ethernet frames. passt knows no link's
// limit: TCP segments of up to 64 KiB go to it as the guest made them, and come from it as large as the guest's MTU
// allows. Only checksums are finished here.
//
// Sending: all frames of a round in one sendmsg() from guest memory, one at a time, as a short one must go on first.
// Receiving: large reads into a buffer, many frames at once.
#pragma once

#include "backends/net/endpoint.hpp"
#include "backends/net/stream_frames.hpp"

#include <deque>
#include <sys/socket.h>

namespace parapet::net {

class StreamEndpoint final : public Endpoint {
public:
    explicit StreamEndpoint(UniqueFd socket) : socket_{std::move(socket)} {}

    [[nodiscard]] std::string describe() const override { return "user"; }
    void hand_over(devices::Handover& handover) override;
    void start(io::IoThread& io, Offloads accepted, Events events) override;
    void send(unsigned queue, OutFrame& frame) override;
    int receive(unsigned queue, InFrame& frame) override;
    void stop(std::function<void()> done) override;

private:
    enum class Operation { sending, receiving, cancelling };
    struct Done final : io::Completion {
        Done(StreamEndpoint& to, Operation which) : endpoint{to}, operation{which} {}
        void complete(int result, unsigned) override { endpoint.done(operation, result); }
        StreamEndpoint& endpoint;
        Operation operation;
    };

    void done(Operation operation, int result);
    void flush();
    void sent(std::size_t bytes);
    void keep_rest();
    void drop_all();
    void read();
    int take(InFrame& frame);
    void lose(const std::string& why);
    void begin() { ++operations_; }

    UniqueFd socket_;
    io::IoThread* io_ = nullptr;
    Events events_;
    bool lost_ = false;
    unsigned operations_ = 0;
    std::function<void()> stopped_;

    std::deque<OutFrame*> outgoing_;
    std::size_t first_sent_ = 0;  ///< bytes of the first one, its length's included
    std::vector<std::byte> rest_; ///< of a frame whose owner is gone, to be sent first
    bool sending_ = false, flush_due_ = false;
    std::vector<iovec> pieces_;
    msghdr message_{};

    StreamFrames incoming_;
    InFrame* waiting_ = nullptr;
    bool receiving_ = false;

    Done send_done_{*this, Operation::sending}, receive_done_{*this, Operation::receiving},
        cancel_done_{*this, Operation::cancelling};
};

} // namespace parapet::net
