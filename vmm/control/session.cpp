// SPDX-License-Identifier: Apache-2.0
// Handlers hold a weak reference, so that late completions of a session that is gone do nothing.
#include "vmm/control/session.hpp"

#include "vmm/control/message.hpp"
#include "vmm/control/socket_io.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <utility>

namespace parapet::vmm::control {

namespace {

using Wait = boost::asio::posix::stream_descriptor::wait_type;

constexpr std::size_t piece_size = 16 * 1024;         ///< of console output in one frame
constexpr std::size_t most_output = 2 * most_payload; ///< replies that a client has not read

} // namespace

Session::Session(UniqueFd socket, const Owner& owner) : socket_{std::move(socket)}, owner_{owner} {}

Session::~Session() {
    pause();
}

void Session::resume(boost::asio::io_context& io) {
    if (closed_) {
        return;
    }
    waits_.emplace(io, socket_.get());
    touch();
    wait_readable();
    flush();
}

void Session::pause() {
    if (waits_) {
        (void)waits_->release();
        waits_.reset();
    }
    reading_ = writing_ = false;
}

void Session::close() {
    closed_ = true;
    pause();
    socket_ = UniqueFd{};
    output_.clear();
    input_.clear();
}

void Session::wait_readable() {
    if (closed_ || reading_ || !waits_ || dismissed_ || !input_.empty()) {
        return;
    }
    reading_ = true;
    waits_->async_wait(Wait::wait_read, [weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (self && !error && self->reading_) {
            self->reading_ = false;
            self->read_some();
        }
    });
}

void Session::wait_writable() {
    if (closed_ || writing_ || !waits_) {
        return;
    }
    writing_ = true;
    waits_->async_wait(Wait::wait_write, [weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (self && !error && self->writing_) {
            self->writing_ = false;
            self->flush();
        }
    });
}

void Session::read_some() {
    const auto self = shared_from_this(); // a request may end this session
    std::array<char, 16384> bytes;
    Received got = receive_some(socket_.get(), bytes);
    if (got.bytes == 0 || (got.bytes < 0 && got.error != EAGAIN && got.error != EMSGSIZE)) {
        close();
        return;
    }
    if (got.error == EMSGSIZE) {
        dismiss("too many descriptors were sent at once");
        return;
    }
    if (got.bytes > 0) {
        const std::string_view text{bytes.data(), static_cast<std::size_t>(got.bytes)};
        if (auto fed = reader_.feed(text, std::move(got.descriptors)); !fed) {
            dismiss(fed.error().message);
            return;
        }
        take_frames();
    }
    wait_readable();
}

void Session::take_frames() {
    while (!closed_ && !dismissed_ && input_.empty()) {
        auto frame = reader_.next();
        if (!frame) {
            return;
        }
        touch();
        if (frame->kind == FrameKind::message) {
            owner_.on_request(*this, *std::move(frame));
        } else if (!viewing_) {
            dismiss("input for the console comes before the request for the console");
        } else {
            input_ = std::move(frame->payload);
            type_input();
        }
    }
}

void Session::type_input() {
    input_.erase(0, owner_.type(input_));
}

void Session::tick() {
    if (closed_) {
        return;
    }
    const auto self = shared_from_this();
    if (!input_.empty()) {
        type_input();
        take_frames();
        wait_readable();
        pollfd state{socket_.get(), 0, 0}; // we do not read meanwhile, which would tell us
        if (!input_.empty() && ::poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR)) != 0) {
            close();
        }
    }
    const bool may_idle = output_.empty() ? (viewing_ || patient_) && !reader_.in_the_middle() : viewing_;
    if (!closed_ && !may_idle && Clock::now() - active_ > patience) {
        close();
    }
}

void Session::reply(boost::json::object message) {
    if (closed_) {
        return;
    }
    if (output_.size() > most_output) {
        close(); // it asks and does not listen
        return;
    }
    std::string text = format_message(std::move(message));
    if (text.size() > most_payload) {
        text = format_message({{"error", "the answer is too long for the control protocol"}});
    }
    output_ += encode_frame(FrameKind::message, text);
    flush();
}

void Session::refuse(const std::string& sentence) {
    reply({{"error", sentence}});
}

void Session::dismiss(const std::string& sentence) {
    dismissed_ = true;
    refuse(sentence);
}

void Session::view(bool follow) {
    viewing_ = true;
    follow_ = follow;
    seen_ = owner_.said->first_line();
    view_end_ = owner_.said->end();
    flush();
}

void Session::set_patient(bool patient) {
    patient_ = patient;
    touch();
}

/// Puts the next piece of the console's output into the buffer; false: there is none.
bool Session::refill() {
    if (!viewing_ || dismissed_) {
        return false;
    }
    const console::ScrollBack& said = *owner_.said;
    if (seen_ < said.begin()) {
        const std::uint64_t lost = said.begin() - seen_;
        seen_ = said.begin();
        output_ += encode_frame(FrameKind::console, "\r\n[parapet: " + std::to_string(lost) +
                                                        " bytes are lost here: this viewer is too slow]\r\n");
        return true;
    }
    const auto piece = said.piece(seen_, piece_size);
    const auto wanted = follow_ ? piece : piece.substr(0, view_end_ > seen_ ? view_end_ - seen_ : 0);
    if (wanted.empty()) {
        if (!follow_) {
            viewing_ = false;
            reply({{"ok", true}, {"complete", true}});
        }
        return false;
    }
    seen_ += wanted.size();
    output_ += encode_frame(FrameKind::console, wanted);
    return true;
}

void Session::flush() {
    while (!closed_ && !writing_ && (!output_.empty() || refill())) {
        const Sent sent = send_some(socket_.get(), output_);
        output_.erase(0, sent.bytes);
        if (sent.bytes != 0) {
            touch();
        }
        if (sent.error == EAGAIN) {
            wait_writable();
            return;
        }
        if (sent.error != 0) {
            close();
            return;
        }
    }
    if (dismissed_ && output_.empty()) {
        close();
    }
}

bool Session::part(const boost::json::object& last) {
    pause(); // whoever calls is the one who waits until it is writable
    flush();
    if (closed_ || !output_.empty()) {
        return closed_;
    }
    if (!std::exchange(parting_, true)) {
        reply(last);
    }
    return closed_ || output_.empty();
}

} // namespace parapet::vmm::control
