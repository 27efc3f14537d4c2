// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/session.hpp"

#include <algorithm>
#include <cerrno>
#include <libnbd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

namespace parapet::nbd {

namespace {

/// libnbd's last message in this thread, without the name of its function in front.
std::string last_message() {
    const char* message = nbd_get_error();
    std::string text = message != nullptr ? message : "unknown error";
    if (text.starts_with("nbd_")) {
        const auto colon = text.find(": ");
        text = colon == std::string::npos ? text : text.substr(colon + 2);
    }
    return text;
}

/// A peer that is gone without a word is noticed within half a minute.
void watch_peer(int socket) {
    const int on = 1, idle = 10, between = 5, probes = 4;
    const unsigned unanswered_ms = 30000;
    (void)::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof(between));
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
}

std::uint32_t block_size(nbd_handle* handle, int which, std::uint32_t otherwise) {
    const std::int64_t size = nbd_get_block_size(handle, which);
    return size <= 0 ? otherwise : static_cast<std::uint32_t>(std::min<std::int64_t>(size, 1 << 30));
}

} // namespace

bool Facts::can_replace(const Facts& before) const {
    const auto keeps = [](bool had, bool has) { return has || !had; };
    return bytes == before.bytes && read_only == before.read_only && keeps(before.flush, flush) &&
           keeps(before.fua, fua) && keeps(before.trim, trim) && keeps(before.zero, zero) &&
           least_block <= before.least_block && most_data >= before.most_data;
}

Result<std::unique_ptr<Session>> Session::connect_uri(const std::string& uri) {
    std::unique_ptr<Session> made{new Session{nbd_create()}};
    if (made->handle_ == nullptr) {
        return Error{last_message()};
    }
    // The URI is the user's own, so it may name files with keys and certificates.
    (void)nbd_set_uri_allow_local_file(made->handle_, true);
    (void)nbd_set_pread_initialize(made->handle_, false);
    if (nbd_aio_connect_uri(made->handle_, uri.c_str()) == -1) {
        return Error{last_message()};
    }
    return made;
}

Result<std::unique_ptr<Session>> Session::connect_socket(int socket) {
    std::unique_ptr<Session> made{new Session{nbd_create()}};
    if (made->handle_ == nullptr || nbd_aio_connect_socket(made->handle_, socket) == -1) {
        return Error{last_message()};
    }
    (void)nbd_set_pread_initialize(made->handle_, false);
    return made;
}

Session::~Session() {
    nbd_close(handle_);
}

bool Session::ready() const {
    return nbd_aio_is_ready(handle_) == 1 || nbd_aio_is_processing(handle_) == 1;
}

bool Session::dead() const {
    return nbd_aio_is_dead(handle_) == 1 || nbd_aio_is_closed(handle_) == 1;
}

Facts Session::facts() const {
    Facts facts;
    facts.bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(nbd_get_size(handle_), 0));
    facts.read_only = nbd_is_read_only(handle_) == 1;
    facts.flush = nbd_can_flush(handle_) == 1;
    facts.fua = nbd_can_fua(handle_) == 1;
    facts.trim = nbd_can_trim(handle_) == 1;
    facts.zero = nbd_can_zero(handle_) == 1;
    facts.least_block = block_size(handle_, LIBNBD_SIZE_MINIMUM, 1);
    facts.preferred_block = block_size(handle_, LIBNBD_SIZE_PREFERRED, 0);
    facts.most_data = block_size(handle_, LIBNBD_SIZE_MAXIMUM, slot_bytes);
    return facts;
}

int Session::completed(void* flying, int* error) {
    const auto* const flight = static_cast<Flying*>(flying);
    flight->session->ended_.push_back({flight->command, *error});
    return 1; // libnbd may forget it
}

void Session::released(void* flying) {
    delete static_cast<Flying*>(flying);
}

void Session::remember_error() {
    if (error_.empty()) {
        error_ = last_message();
    }
}

void Session::issue(Command& command) {
    const nbd_completion_callback callback{completed, new Flying{this, &command}, released};
    const std::uint32_t fua = command.fua ? LIBNBD_CMD_FLAG_FUA : 0;
    std::int64_t cookie = -1;
    switch (command.op) {
    case Op::read:
        cookie = nbd_aio_pread(handle_, command.data, command.length, command.offset, callback, 0);
        break;
    case Op::write:
        cookie = nbd_aio_pwrite(handle_, command.data, command.length, command.offset, callback, fua);
        break;
    case Op::flush:
        cookie = nbd_aio_flush(handle_, callback, 0);
        break;
    case Op::discard:
        cookie = nbd_aio_trim(handle_, command.length, command.offset, callback, fua);
        break;
    case Op::write_zeroes:
        cookie = nbd_aio_zero(handle_, command.length, command.offset, callback, fua);
        break;
    }
    if (cookie == -1) { // libnbd has released the callback's data
        const int error = nbd_get_errno();
        if (dead()) {
            remember_error();
        }
        ended_.push_back({&command, dead() ? ENOTCONN : error != 0 ? error : EIO});
    }
}

pollfd Session::wish() const {
    const unsigned direction = nbd_aio_get_direction(handle_);
    short events = 0;
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) {
        events |= POLLIN;
    }
    if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) {
        events |= POLLOUT;
    }
    return {dead() ? -1 : nbd_aio_get_fd(handle_), events, 0};
}

void Session::serve(short events) {
    const unsigned direction = nbd_aio_get_direction(handle_);
    int result = 0;
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 && (events & (POLLIN | POLLHUP | POLLERR)) != 0) {
        result = nbd_aio_notify_read(handle_);
    } else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 && (events & (POLLOUT | POLLHUP | POLLERR)) != 0) {
        result = nbd_aio_notify_write(handle_);
    }
    if (result == -1) {
        remember_error();
    } else if (!tuned_ && ready()) {
        tuned_ = true;
        watch_peer(nbd_aio_get_fd(handle_));
    }
}

void Session::deliver() {
    for (const Ended& ended : std::exchange(ended_, {})) {
        ended.command->done(ended.error);
    }
}

void Session::disconnect() {
    if (ready()) {
        (void)nbd_aio_disconnect(handle_, 0);
    }
}

} // namespace parapet::nbd
