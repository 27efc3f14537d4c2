// SPDX-License-Identifier: Apache-2.0
#include "backends/net/stream_endpoint.hpp"

#include "backends/net/packet.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace parapet::net {

namespace {

constexpr std::size_t most_pieces = 1000; // of one sendmsg(): below IOV_MAX

void put_length(OutFrame& frame) {
    for (std::size_t i = 0; i < StreamFrames::length_bytes; ++i) {
        frame.prefix[i] = std::byte(frame.bytes >> (24 - 8 * i));
    }
    frame.parts[0] = {frame.prefix.data(), StreamFrames::length_bytes};
}

std::size_t whole(const OutFrame& frame) {
    return StreamFrames::length_bytes + frame.bytes;
}

/// Adds the frame's parts without their first `skip` bytes.
void add_pieces(const OutFrame& frame, std::size_t skip, std::vector<iovec>& to) {
    for (unsigned i = 0; i < frame.count; ++i) {
        const iovec& part = frame.parts[i];
        const std::size_t off = std::min(skip, part.iov_len);
        skip -= off;
        if (off < part.iov_len) {
            to.push_back({static_cast<std::byte*>(part.iov_base) + off, part.iov_len - off});
        }
    }
}

} // namespace

void StreamEndpoint::hand_over(devices::Handover& handover) {
    handover.description["endpoint"] = "user";
    handover.descriptors.push_back(std::move(socket_));
}

void StreamEndpoint::start(io::IoThread& io, Offloads /*accepted*/, Events events) {
    io_ = &io;
    events_ = std::move(events);
    events_.carrier(!lost_);
}

void StreamEndpoint::send(unsigned /*queue*/, OutFrame& frame) {
    finish_checksum(frame);
    put_length(frame);
    outgoing_.push_back(&frame);
    if (!flush_due_) {
        flush_due_ = true;
        begin();
        io_->defer([this] {
            flush_due_ = false;
            flush();
            done(Operation::cancelling, 0);
        });
    }
}

void StreamEndpoint::flush() {
    if (lost_ || stopped_) {
        drop_all();
        return;
    }
    if (sending_ || (outgoing_.empty() && rest_.empty())) {
        return;
    }
    pieces_.clear();
    if (!rest_.empty()) {
        pieces_.push_back({rest_.data(), rest_.size()});
    }
    std::size_t skip = first_sent_;
    for (const OutFrame* frame : outgoing_) {
        if (pieces_.size() + frame->count > most_pieces) {
            break;
        }
        add_pieces(*frame, skip, pieces_);
        skip = 0;
    }
    message_ = {};
    message_.msg_iov = pieces_.data();
    message_.msg_iovlen = pieces_.size();
    sending_ = true;
    begin();
    io_->prepare(send_done_, io_uring_prep_sendmsg, socket_.get(), &message_, static_cast<unsigned>(MSG_NOSIGNAL));
}

/// So many bytes of what flush() prepared have left.
void StreamEndpoint::sent(std::size_t bytes) {
    const std::size_t of_rest = std::min(bytes, rest_.size());
    rest_.erase(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(of_rest));
    bytes += first_sent_ - of_rest;
    first_sent_ = 0;
    while (!outgoing_.empty() && bytes >= whole(*outgoing_.front())) {
        OutFrame& frame = *outgoing_.front();
        outgoing_.pop_front();
        bytes -= whole(frame);
        frame.sent(0);
    }
    first_sent_ = bytes;
}

/// The first frame's guest goes: what is missing of it must follow all the same, or the stream is out of step.
void StreamEndpoint::keep_rest() {
    if (first_sent_ == 0) {
        return;
    }
    std::vector<iovec> pieces;
    add_pieces(*outgoing_.front(), first_sent_, pieces);
    for (const iovec& piece : pieces) {
        const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
        rest_.insert(rest_.end(), bytes, bytes + piece.iov_len);
    }
    first_sent_ = 0;
}

void StreamEndpoint::drop_all() {
    if (sending_) {
        return;
    }
    keep_rest();
    for (OutFrame* frame : std::exchange(outgoing_, {})) {
        frame->sent(-ENETDOWN);
    }
}

int StreamEndpoint::receive(unsigned /*queue*/, InFrame& frame) {
    if (const int bytes = take(frame); bytes > 0) {
        return bytes;
    }
    waiting_ = &frame;
    read();
    return 0;
}

/// The next frame at hand; 0: none.
int StreamEndpoint::take(InFrame& frame) {
    if (lost_) {
        return 0;
    }
    switch (incoming_.next()) {
    case StreamFrames::Next::frame: {
        frame.offload = {};
        frame.offload.flags = VIRTIO_NET_HDR_F_DATA_VALID; // it came from a process of this host
        return static_cast<int>(scatter(incoming_.take(), frame));
    }
    case StreamFrames::Next::broken:
        lose("passt sent a frame of impossible length");
        break;
    case StreamFrames::Next::incomplete:
        break;
    }
    return 0;
}

void StreamEndpoint::read() {
    if (!receiving_ && !lost_) {
        const auto room = incoming_.room();
        receiving_ = true;
        begin();
        io_->prepare(receive_done_, io_uring_prep_recv, socket_.get(), room.data(), room.size(), 0);
    }
}

void StreamEndpoint::lose(const std::string& why) {
    if (!lost_) {
        lost_ = true;
        events_.carrier(false);
        events_.log(why + ": the interface has no carrier any more; detach it and attach another");
        drop_all();
    }
}

void StreamEndpoint::done(Operation operation, int result) {
    const bool again = result == -EINTR || result == -EAGAIN || result == -ECANCELED;
    if (operation == Operation::sending) {
        sending_ = false;
        if (result >= 0) {
            sent(static_cast<std::size_t>(result));
        } else if (!again) {
            lose(std::string{"passt is gone ("} + std::strerror(-result) + ')');
        }
        flush();
    } else if (operation == Operation::receiving) {
        receiving_ = false;
        if (result > 0) {
            incoming_.received(static_cast<std::size_t>(result));
        } else if (result == 0 || !again) {
            lose("passt is gone");
        }
        if (waiting_ != nullptr && !stopped_) {
            InFrame& frame = *waiting_;
            if (const int bytes = take(frame); bytes > 0) {
                waiting_ = nullptr;
                frame.received(bytes);
            } else {
                read();
            }
        }
    }
    if (--operations_ == 0 && stopped_) {
        drop_all();
        if (waiting_ != nullptr) {
            std::exchange(waiting_, nullptr)->received(-ECANCELED);
        }
        std::exchange(stopped_, nullptr)();
    }
}

void StreamEndpoint::stop(std::function<void()> finished) {
    stopped_ = std::move(finished);
    begin();
    for (Done* const operation : {&send_done_, &receive_done_}) {
        if (operation == &send_done_ ? sending_ : receiving_) {
            begin();
            io_->prepare(cancel_done_, io_uring_prep_cancel,
                         static_cast<void*>(static_cast<io::Completion*>(operation)), 0);
        }
    }
    done(Operation::cancelling, 0);
}

} // namespace parapet::net
