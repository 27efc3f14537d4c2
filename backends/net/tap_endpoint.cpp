// SPDX-License-Identifier: Apache-2.0
#include "backends/net/tap_endpoint.hpp"

#include <cerrno>
#include <cstring>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <utility>

namespace parapet::net {

TapEndpoint::TapEndpoint(std::string name, std::vector<UniqueFd> queues) : name_{std::move(name)} {
    for (UniqueFd& fd : queues) {
        queues_.push_back(std::make_unique<Queue>(*this, std::move(fd)));
    }
}

void TapEndpoint::hand_over(devices::Handover& handover) {
    handover.description["endpoint"] = "tap";
    handover.description["name"] = name_;
    for (auto& queue : queues_) {
        handover.descriptors.push_back(std::move(queue->fd));
    }
}

void TapEndpoint::start(io::IoThread& io, Offloads accepted, Events events) {
    io_ = &io;
    events_ = std::move(events);
    if (gone_) {
        return events_.carrier(false);
    }
    const unsigned flags = accepted.checksum
                               ? TUN_F_CSUM | (accepted.tso4 ? TUN_F_TSO4 : 0) | (accepted.tso6 ? TUN_F_TSO6 : 0) |
                                     (accepted.tso4 || accepted.tso6 ? TUN_F_TSO_ECN : 0)
                               : 0;
    if (::ioctl(queues_.front()->fd.get(), TUNSETOFFLOAD, flags) != 0) {
        events_.log("the offloads of " + name_ + " cannot be set (" + std::strerror(errno) + ")");
    }
    events_.carrier(up_ = true);
}

void TapEndpoint::send(unsigned queue, OutFrame& frame) {
    frame.carrier = this;
    frame.parts[0] = {&frame.offload, sizeof(frame.offload)};
    ++operations_;
    // Writes to a tap never wait, so the ring carries them out in order.
    io_->prepare(frame, io_uring_prep_writev, queues_[queue % queues_.size()]->fd.get(), frame.parts.data(),
                 frame.count, std::uint64_t{0});
}

void TapEndpoint::frame_operation_done(OutFrame& frame, int result) {
    if (result == -EBADFD) {
        lose();
    } else if (result != -ECANCELED) {
        set_state(result != -EIO, -result);
    }
    frame.sent(std::min(result, 0));
    operation_over();
}

int TapEndpoint::receive(unsigned queue, InFrame& frame) {
    Queue& on = *queues_[queue];
    on.frame = &frame;
    read(on);
    return 0;
}

void TapEndpoint::read(Queue& queue) {
    queue.frame->parts[0] = {&queue.frame->offload, sizeof(virtio_net_hdr)};
    queue.reading = true;
    ++operations_;
    io_->prepare(queue, io_uring_prep_readv, queue.fd.get(), queue.frame->parts.data(), queue.frame->count,
                 std::uint64_t{0});
}

void TapEndpoint::read_done(Queue& queue, int result, unsigned /*flags*/) {
    queue.reading = false;
    constexpr int header = sizeof(virtio_net_hdr);
    if (stopped_) {
        give_back(queue); // a frame that came now is lost with the interface
    } else if (result >= header + static_cast<int>(ethernet_header)) {
        set_state(true, 0);
        std::exchange(queue.frame, nullptr)->received(result - header);
    } else if (result == -EAGAIN) { // the ring of Linux 5.13 and 5.14 does not wait where the descriptor does not
        queue.retry.start(*io_, std::chrono::milliseconds{1}, [this, &queue] { read(queue); });
    } else if (result >= 0 || result == -EINTR) {
        read(queue);
    } else if (result == -EBADFD) {
        lose(); // and reads no more
    } else {
        if (result != -EFAULT) { // a read that waited when the interface was deleted; the next one is told more clearly
            set_state(false, -result);
        }
        queue.retry.start(*io_, std::chrono::seconds{1}, [this, &queue] { read(queue); });
    }
    operation_over();
}

/// The kernel has no interface behind the descriptors any more.
void TapEndpoint::lose() {
    if (!std::exchange(gone_, true)) {
        up_ = false;
        events_.carrier(false);
        events_.log(name_ + " is gone: the interface has no carrier any more; detach it and attach another");
    }
}

void TapEndpoint::set_state(bool up, int error) {
    if (up != up_ && !gone_) {
        up_ = up;
        events_.carrier(up);
        events_.log(up ? name_ + " is up again"
                       : name_ + " is down (" + std::strerror(error) + "): the guest's frames are dropped");
    }
}

void TapEndpoint::give_back(Queue& queue) {
    if (queue.frame != nullptr) {
        std::exchange(queue.frame, nullptr)->received(-ECANCELED);
    }
}

void TapEndpoint::operation_over() {
    if (--operations_ == 0 && stopped_) {
        std::exchange(stopped_, nullptr)();
    }
}

void TapEndpoint::stop(std::function<void()> done) {
    stopped_ = std::move(done);
    ++operations_;
    for (auto& queue : queues_) {
        queue->retry.cancel();
        if (queue->reading) {
            ++operations_;
            io_->prepare(cancelling_, io_uring_prep_cancel, static_cast<void*>(static_cast<io::Completion*>(&*queue)),
                         0);
        } else {
            give_back(*queue);
        }
    }
    operation_over();
}

} // namespace parapet::net
