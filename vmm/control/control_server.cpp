// SPDX-License-Identifier: Apache-2.0
// Clients come and go; what they ask is answered in control_requests.cpp.
#include "vmm/control/control_server.hpp"

#include "support/own_user.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace parapet::vmm::control {

namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

} // namespace

ControlServer::ControlServer(int listener, std::string name)
    : listener_{listener}, name_{std::move(name)}, own_user_{::geteuid()} {}

ControlServer::~ControlServer() {
    end();
}

void ControlServer::begin(asio::io_context& io, DomainLife& life) {
    io_ = &io;
    life_ = &life;
    life_token_ = std::make_shared<int>();
    listening_.emplace(io, listener_);
    timer_.emplace(io);
    for (const auto& session : sessions_) {
        session->resume(io);
    }
    wait_for_clients();
    wait_for_tick();
}

void ControlServer::end() {
    for (const auto& detaching : std::exchange(detaching_, {})) {
        detaching->finish(Error{"the guest ended before it let go of the device"});
    }
    life_token_.reset();
    timer_.reset();
    if (listening_) {
        (void)listening_->release();
        listening_.reset();
    }
    for (const auto& session : sessions_) {
        session->pause();
    }
    life_ = nullptr;
    io_ = nullptr;
}

/// The socket has mode 0600 (NameClaim::listen).
bool ControlServer::may_command(int socket) const {
    return is_own_user_or_root(socket, own_user_);
}

void ControlServer::wait_for_clients() {
    listening_->async_wait(asio::posix::stream_descriptor::wait_read,
                           [this, alive = std::weak_ptr{life_token_}](const boost::system::error_code& error) {
                               if (!error && alive.lock()) {
                                   accept_some();
                                   if (!out_of_descriptors_) {
                                       wait_for_clients();
                                   }
                               }
                           });
}

void ControlServer::accept_some() {
    UniqueFd socket{::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket.valid()) {
        out_of_descriptors_ = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
        return;
    }
    if (!may_command(socket.get())) {
        return; // closes it
    }
    Session::Owner owner;
    owner.on_request = [this](Session& session, Frame frame) { serve(session, std::move(frame)); };
    owner.type = [this](std::span<const char> bytes) { return life_ == nullptr ? 0 : life_->type(bytes); };
    owner.said = &said_;
    const auto session = std::make_shared<Session>(std::move(socket), owner);
    sessions_.remove_if([](const auto& other) { return other->closed(); });
    if (sessions_.size() >= most_clients) {
        session->dismiss("domain '" + name_ + "' has " + std::to_string(most_clients) +
                         " clients already: end one of them");
        return;
    }
    sessions_.push_back(session);
    session->resume(*io_);
}

void ControlServer::wait_for_tick() {
    const bool input_waits =
        std::any_of(sessions_.begin(), sessions_.end(), [](const auto& session) { return session->input_waits(); });
    timer_->expires_after(input_waits ? 20ms : 500ms);
    timer_->async_wait([this, alive = std::weak_ptr{life_token_}](const boost::system::error_code& error) {
        if (!error && alive.lock()) {
            tick();
        }
    });
}

void ControlServer::tick() {
    for (const auto& session : sessions_) {
        session->tick();
    }
    sessions_.remove_if([](const auto& session) { return session->closed(); });
    if (std::exchange(out_of_descriptors_, false)) {
        wait_for_clients();
    }
    wait_for_tick();
}

void ControlServer::console_said(std::string_view text) {
    said_.append(text);
    if (life_ == nullptr) {
        return;
    }
    for (const auto& session : sessions_) {
        if (session->viewing()) {
            session->said_more();
        }
    }
}

void ControlServer::farewell(const std::string& how, const std::string& message) {
    constexpr auto patience = 2s; // with all of them together
    const auto limit = Session::Clock::now() + patience;
    boost::json::object last{{"ended", how}};
    if (!message.empty()) {
        last["message"] = message;
    }
    for (;;) {
        sessions_.remove_if([&last](const auto& session) { return session->part(last); });
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(limit - Session::Clock::now());
        if (sessions_.empty() || left.count() <= 0) {
            break;
        }
        std::vector<pollfd> waits;
        for (const auto& session : sessions_) {
            waits.push_back({session->socket(), POLLOUT, 0});
        }
        (void)::poll(waits.data(), waits.size(), static_cast<int>(left.count()));
    }
    sessions_.clear();
}

} // namespace parapet::vmm::control
