// SPDX-License-Identifier: Apache-2.0
#include "backends/net/link_endpoint.hpp"

#include "backends/net/packet.hpp"
#include "backends/net/segment.hpp"
#include "support/own_user.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace parapet::net {

namespace {

constexpr std::uint8_t accepts_checksum = 1, accepts_tso4 = 2, accepts_tso6 = 4;

constexpr LinkHeader bye{LinkMessage::bye, LinkHeader{}.version, {}};

bool again(int result) {
    return result == -EINTR || result == -EAGAIN;
}

/// A partner cannot be taken now, for want of something of ours.
bool shortage(int result) {
    return result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM;
}

constexpr std::chrono::milliseconds rest_in_shortage{250};

} // namespace

void LinkEndpoint::hand_over(devices::Handover& handover) {
    handover.description["endpoint"] = "socket";
    handover.description["path"] = path_;
    handover.description["listens"] = listener_.valid();
    handover.descriptors.push_back(std::move(listener_.valid() ? listener_ : peer_));
}

void LinkEndpoint::start(io::IoThread& io, Offloads accepted, Events events) {
    io_ = &io;
    accepted_ = accepted;
    events_ = std::move(events);
    events_.carrier(up_);
    if (peer_.valid()) {
        say(LinkMessage::hello);
    } else {
        accept();
    }
}

// The peer comes and goes.

void LinkEndpoint::accept() {
    if (!accepting_ && !stopped_ && listener_.valid() && !peer_.valid()) {
        accepting_ = true;
        ++operations_;
        io_->prepare(accept_done_, io_uring_prep_accept, listener_.get(), static_cast<sockaddr*>(nullptr),
                     static_cast<socklen_t*>(nullptr), static_cast<int>(SOCK_CLOEXEC));
    }
}

void LinkEndpoint::accepted(int result) {
    if (result >= 0) {
        short_ = false;
        peer_ = UniqueFd{result};
        if (!is_own_user_or_root(peer_.get(), own_user_)) {
            peer_ = UniqueFd{};
            accept();
        } else if (!stopped_) {
            say(LinkMessage::hello);
            read();
        }
    } else if (again(result)) {
        accept();
    } else if (shortage(result)) {
        if (!std::exchange(short_, true)) {
            events_.log("the link " + path_ + " has to let its partner wait (" + std::strerror(-result) +
                        "); raise the limit of open files (ulimit -n)");
        }
        accepting_ = true;
        ++operations_;
        io_->after(rest_in_shortage, rest_done_);
    } else if (result != -ECANCELED) {
        listener_ = UniqueFd{};
        events_.log("the link " + path_ + " takes no partner any more (" + std::strerror(-result) + ')');
    }
}

void LinkEndpoint::set_up(bool up) {
    if (up_ != up) {
        up_ = up;
        if (!stopped_) {
            events_.carrier(up);
        }
    }
}

/// The other end has gone, or does not keep to the rules.
void LinkEndpoint::lose_peer() {
    set_up(false);
    broken_ = true;
    if (in_flight_ != 0 || receiving_ || talking_) {
        if (receiving_) {
            cancel(receive_done_);
        }
        if (talking_) {
            cancel(say_done_);
        }
        cancel_frames();
        return; // again, when they are over
    }
    broken_ = false;
    peer_ = UniqueFd{};
    to_say_.clear();
    drop_all();
    accept();
}

void LinkEndpoint::hear_hello(const LinkHeader& header) {
    peer_accepts_ = {(header.offload.flags & accepts_checksum) != 0, (header.offload.flags & accepts_tso4) != 0,
                     (header.offload.flags & accepts_tso6) != 0};
    set_up(true);
}

/// With its hello the listener gives us its socket. Whatever else the partner gives is closed.
void LinkEndpoint::take_listener() {
    for (cmsghdr* part = CMSG_FIRSTHDR(&in_message_); part != nullptr; part = CMSG_NXTHDR(&in_message_, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= part->cmsg_len; at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + at, sizeof(fd));
            UniqueFd given{fd};
            if (!listener_.valid() && heard_.type == LinkMessage::hello) {
                listener_ = std::move(given);
            }
        }
    }
}

/// Queues a message of our own; the first hello of a listener has its socket with it.
void LinkEndpoint::say(LinkMessage type) {
    to_say_.push_back(type);
    if (talking_ || !peer_.valid()) {
        return;
    }
    talking_ = true;
    said_ = {};
    said_.type = to_say_.front();
    to_say_.pop_front();
    out_message_ = {};
    if (said_.type == LinkMessage::hello) {
        said_.offload.flags =
            static_cast<std::uint8_t>((accepted_.checksum ? accepts_checksum : 0) |
                                      (accepted_.tso4 ? accepts_tso4 : 0) | (accepted_.tso6 ? accepts_tso6 : 0));
        if (listener_.valid()) {
            out_message_.msg_control = out_control_.data();
            out_message_.msg_controllen = out_control_.size();
            cmsghdr* part = CMSG_FIRSTHDR(&out_message_);
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(sizeof(int));
            const int fd = listener_.get();
            std::memcpy(CMSG_DATA(part), &fd, sizeof(fd));
        }
    }
    out_piece_ = {&said_, sizeof(said_)};
    out_message_.msg_iov = &out_piece_;
    out_message_.msg_iovlen = 1;
    ++operations_;
    io_->prepare(say_done_, io_uring_prep_sendmsg, peer_.get(), &out_message_, static_cast<unsigned>(MSG_NOSIGNAL));
}

// Frames from our guest.

void LinkEndpoint::send(unsigned /*queue*/, OutFrame& frame) {
    outgoing_.push_back(&frame);
    if (!flush_due_) {
        flush_due_ = true;
        ++operations_;
        io_->defer([this] {
            flush_due_ = false;
            flush();
            operation_over();
        });
    }
}

/// Makes the first frames that wait what the partner takes. Only those whose turn it is: a large frame cut into small
/// ones takes many times its memory.
void LinkEndpoint::prepare_front() {
    for (std::size_t i = 0; i < std::min(outgoing_.size(), most_in_flight); ++i) {
        OutFrame& frame = *outgoing_[i];
        const std::uint8_t type = frame.offload.gso_type;
        const bool whole = type == VIRTIO_NET_HDR_GSO_NONE ||
                           (type == VIRTIO_NET_HDR_GSO_TCPV4 ? peer_accepts_.tso4 : peer_accepts_.tso6);
        if (const auto segments = whole ? std::vector<OwnedFrame*>{} : cut_segments(frame); !segments.empty()) {
            const auto at = outgoing_.erase(outgoing_.begin() + static_cast<std::ptrdiff_t>(i));
            outgoing_.insert(at, segments.begin(), segments.end());
        } else if (whole && !peer_accepts_.checksum) {
            finish_checksum(frame);
        } // else the receiver finds that it takes no such frame
    }
}

/// One chain at a time, so that frames which must wait for room stay in order.
void LinkEndpoint::flush() {
    if (in_flight_ != 0) {
        return;
    }
    if (!up_ || stopped_ || broken_) {
        drop_all();
        return;
    }
    prepare_front();
    const std::size_t count = std::min(outgoing_.size(), most_in_flight);
    for (std::size_t i = 0; i < count; ++i) {
        OutFrame& frame = *outgoing_[i];
        LinkHeader header;
        header.offload = frame.offload;
        std::memcpy(frame.prefix.data(), &header, sizeof(header));
        frame.parts[0] = {frame.prefix.data(), sizeof(header)};
        frame.carrier = this;
        ++operations_;
        ++in_flight_;
        messages_[i] = {};
        messages_[i].msg_iov = frame.parts.data();
        messages_[i].msg_iovlen = frame.count;
        // A message on this kind of socket goes as a whole or not at all.
        io_uring_sqe* sqe = io_->entry();
        io_uring_prep_sendmsg(sqe, peer_.get(), &messages_[i], MSG_NOSIGNAL);
        sqe->flags |= i + 1 < count ? IOSQE_IO_HARDLINK : 0;
        io::IoThread::own(sqe, frame);
    }
}

void LinkEndpoint::frame_operation_done(OutFrame& frame, int result) {
    std::erase(outgoing_, &frame);
    --in_flight_;
    frame.sent(std::min(result, 0));
    if (result < 0 && !again(result) && result != -ECANCELED && result != -EMSGSIZE && !stopped_ && !broken_) {
        broken_ = true;
    }
    if (in_flight_ == 0) {
        if (broken_) {
            lose_peer();
        } else {
            flush();
        }
    }
    operation_over();
}

void LinkEndpoint::drop_all() {
    if (in_flight_ == 0) {
        for (OutFrame* frame : std::exchange(outgoing_, {})) {
            frame->sent(-ENETDOWN);
        }
    }
}

// Frames to our guest.

int LinkEndpoint::receive(unsigned /*queue*/, InFrame& frame) {
    waiting_ = &frame;
    read();
    return 0;
}

void LinkEndpoint::read() {
    if (waiting_ == nullptr || receiving_ || stopped_ || broken_ || !peer_.valid()) {
        return;
    }
    pieces_[0] = {&heard_, sizeof(heard_)};
    std::copy(waiting_->parts.begin() + 1, waiting_->parts.begin() + waiting_->count, pieces_.begin() + 1);
    in_message_ = {};
    in_message_.msg_iov = pieces_.data();
    in_message_.msg_iovlen = waiting_->count;
    if (!listener_.valid()) {
        in_message_.msg_control = in_control_.data();
        in_message_.msg_controllen = in_control_.size();
    }
    receiving_ = true;
    ++operations_;
    io_->prepare(receive_done_, io_uring_prep_recvmsg, peer_.get(), &in_message_,
                 static_cast<unsigned>(MSG_CMSG_CLOEXEC));
}

/// May our guest have this frame?
bool LinkEndpoint::acceptable(std::size_t bytes) const {
    const virtio_net_hdr& offload = heard_.offload;
    const bool blank = (offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    const bool tso4 = offload.gso_type == VIRTIO_NET_HDR_GSO_TCPV4, tso6 = offload.gso_type == VIRTIO_NET_HDR_GSO_TCPV6;
    return (in_message_.msg_flags & MSG_TRUNC) == 0 && bytes >= ethernet_header && bytes <= most_frame_bytes &&
           plausible(offload, bytes) && (!blank || accepted_.checksum) && (!tso4 || accepted_.tso4) &&
           (!tso6 || accepted_.tso6);
}

void LinkEndpoint::received(int result) {
    if (result == 0 || (result < 0 && !again(result) && result != -ECANCELED)) {
        if (!stopped_) {
            events_.log("the link " + path_ + " has lost its partner" +
                        (listener_.valid() ? "; another one may come" : ""));
        }
        lose_peer();
        return;
    }
    if (result > 0) {
        take_listener();
        if (result < static_cast<int>(sizeof(heard_)) || heard_.version != LinkHeader{}.version) {
            events_.log("the partner of the link " + path_ + " does not speak its protocol; it is cut off");
            lose_peer();
            return;
        }
        const std::size_t bytes = static_cast<std::size_t>(result) - sizeof(heard_);
        if (heard_.type == LinkMessage::hello) {
            hear_hello(heard_);
        } else if (heard_.type == LinkMessage::bye) {
            set_up(false);
            cancel_frames(); // it may not read any more
            flush();
        } else if (heard_.type == LinkMessage::frame && waiting_ != nullptr && !stopped_ && acceptable(bytes)) {
            waiting_->offload = heard_.offload;
            std::exchange(waiting_, nullptr)->received(static_cast<int>(bytes));
        }
    }
    read();
}

void LinkEndpoint::done(Operation operation, int result) {
    switch (operation) {
    case Operation::accepting:
        accepting_ = false;
        accepted(result);
        break;
    case Operation::resting:
        accepting_ = false;
        accept();
        break;
    case Operation::receiving:
        receiving_ = false;
        if (broken_) {
            lose_peer();
        } else {
            received(result);
        }
        break;
    case Operation::talking:
        talking_ = false;
        if (broken_ || (result < 0 && !again(result) && result != -ECANCELED)) {
            lose_peer();
        } else if (!to_say_.empty()) {
            const LinkMessage next = to_say_.front();
            to_say_.pop_front();
            say(next);
        }
        break;
    case Operation::cancelling_frames:
        cancelling_frames_ = false;
        cancel_frames();
        break;
    case Operation::cancelling:
        break;
    }
    operation_over();
}

void LinkEndpoint::cancel(io::Completion& completion) {
    ++operations_;
    io_->prepare(cancel_done_, io_uring_prep_cancel, static_cast<void*>(&completion), 0);
}

/// Of a chain only the frame that waits can be cancelled; then comes the next one.
void LinkEndpoint::cancel_frames() {
    if (in_flight_ != 0 && !cancelling_frames_ && (stopped_ || broken_ || !up_)) {
        cancelling_frames_ = true;
        ++operations_;
        io_->prepare(frames_cancel_done_, io_uring_prep_cancel,
                     static_cast<void*>(static_cast<io::Completion*>(outgoing_.front())), 0);
    }
}

void LinkEndpoint::operation_over() {
    if (--operations_ == 0 && stopped_) {
        drop_all();
        if (waiting_ != nullptr) {
            std::exchange(waiting_, nullptr)->received(-ECANCELED);
        }
        std::exchange(stopped_, nullptr)();
    }
}

void LinkEndpoint::stop(std::function<void()> finished) {
    stopped_ = std::move(finished);
    ++operations_;
    to_say_.clear();
    if (peer_.valid()) {
        // Without waiting: a partner that does not read has no use for it.
        ++operations_;
        io_->prepare(cancel_done_, io_uring_prep_send, peer_.get(), static_cast<const void*>(&bye), sizeof(bye),
                     static_cast<int>(MSG_DONTWAIT | MSG_NOSIGNAL));
    }
    if (accepting_) {
        cancel(accept_done_);
    }
    if (receiving_) {
        cancel(receive_done_);
    }
    if (talking_) {
        cancel(say_done_);
    }
    cancel_frames();
    operation_over();
}

} // namespace parapet::net
