// SPDX-License-Identifier: Apache-2.0
// A tap interface of the host. Each queue is a descriptor of its own; a read or a write is one frame, with a
// virtio_net_hdr before it, straight from or into guest memory.
#pragma once

#include "backends/net/endpoint.hpp"
#include "backends/net/timer.hpp"

#include <memory>
#include <vector>

namespace parapet::net {

class TapEndpoint final : public Endpoint, private OutFrameOperator {
public:
    TapEndpoint(std::string name, std::vector<UniqueFd> queues);

    [[nodiscard]] std::string describe() const override { return "tap " + name_; }
    [[nodiscard]] unsigned queues() const override { return static_cast<unsigned>(queues_.size()); }
    void hand_over(devices::Handover& handover) override;
    void start(io::IoThread& io, Offloads accepted, Events events) override;
    void send(unsigned queue, OutFrame& frame) override;
    int receive(unsigned queue, InFrame& frame) override;
    void stop(std::function<void()> done) override;

private:
    /// One descriptor, and the read that waits on it.
    struct Queue final : io::Completion {
        Queue(TapEndpoint& tap, UniqueFd descriptor) : endpoint{tap}, fd{std::move(descriptor)} {}
        void complete(int result, unsigned flags) override { endpoint.read_done(*this, result, flags); }
        TapEndpoint& endpoint;
        UniqueFd fd;
        InFrame* frame = nullptr;
        bool reading = false; ///< in the ring; else it waits for the timer
        Timer retry;
    };
    struct Ignore final : io::Completion {
        void complete(int, unsigned) override { endpoint.operation_over(); }
        explicit Ignore(TapEndpoint& tap) : endpoint{tap} {}
        TapEndpoint& endpoint;
    };

    void frame_operation_done(OutFrame& frame, int result) override;
    void read(Queue& queue);
    void read_done(Queue& queue, int result, unsigned flags);
    void operation_over();
    void set_state(bool up, int error);
    void lose();
    void give_back(Queue& queue);

    std::string name_;
    std::vector<std::unique_ptr<Queue>> queues_;
    io::IoThread* io_ = nullptr;
    Events events_;
    bool up_ = true;
    bool gone_ = false;       ///< deleted, for good
    unsigned operations_ = 0; ///< in the ring
    std::function<void()> stopped_;
    Ignore cancelling_{*this};
};

} // namespace parapet::net
