// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/client.hpp"

#include "vmm/control/message.hpp"
#include "vmm/control/socket_io.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <poll.h>
#include <set>
#include <sys/socket.h>

namespace parapet::vmm::control {

namespace {

constexpr auto for_ever = Client::Clock::time_point::max();

/// Waits for `events`; false: not in time.
bool wait_for(int socket, short events, Client::Clock::time_point until) {
    for (;;) {
        pollfd state{socket, events, 0};
        int limit = -1;
        if (until != for_ever) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Client::Clock::now());
            limit = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
        }
        const int ready = ::poll(&state, 1, limit);
        if (ready > 0) {
            return true;
        }
        if (ready == 0 || errno != EINTR) {
            return false;
        }
    }
}

} // namespace

Result<sockaddr_un> socket_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return Error{"'" + path + "' is too long for a socket's path: set PARAPET_RUN to a shorter folder, or use a " +
                     "shorter --name"};
    }
    std::copy(path.begin(), path.end(), address.sun_path);
    return address;
}

Result<UniqueFd> connect_to(const std::string& path) {
    const auto address = socket_address(path);
    if (!address) {
        return address.error();
    }
    UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket.valid() ||
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
        // EAGAIN: others are waiting to be served.
        return Error{"'" + path + "' does not answer: " + std::strerror(errno)};
    }
    return socket;
}

Result<Client> Client::open(const std::string& name, const std::vector<std::string>& folders) {
    for (const std::string& path : folders) {
        if (!open_runtime_folder(path)) {
            continue;
        }
        if (auto socket = connect_to(path + "/" + name + ".sock")) {
            return Client{*std::move(socket), name};
        }
    }
    return Error{"no domain named '" + name + "' runs: 'parapet list' says which do"};
}

Result<void> Client::send(FrameKind kind, std::string_view payload, std::span<const int> descriptors,
                          Clock::duration patience) {
    if (payload.size() > most_payload || descriptors.size() > most_descriptors) {
        return Error{"the request to domain '" + name_ + "' is too large"};
    }
    const std::string frame = encode_frame(kind, payload, descriptors.size());
    std::string_view left = frame;
    const auto until = Clock::now() + patience;
    while (!left.empty()) {
        const Sent sent =
            send_some(socket_.get(), left, left.size() == frame.size() ? descriptors : std::span<const int>{});
        left.remove_prefix(sent.bytes);
        if (sent.error == EAGAIN && !wait_for(socket_.get(), POLLOUT, until)) {
            return Error{"domain '" + name_ + "' does not answer in time"};
        }
        if (sent.error != 0 && sent.error != EAGAIN) {
            return Error{"the connection to domain '" + name_ + "' broke: " + std::strerror(sent.error)};
        }
    }
    return {};
}

Result<std::optional<Frame>> Client::receive(std::optional<Clock::duration> patience) {
    const auto until = patience ? Clock::now() + *patience : for_ever;
    for (;;) {
        if (auto frame = reader_.next()) {
            return frame;
        }
        if (!wait_for(socket_.get(), POLLIN, until)) {
            return std::optional<Frame>{};
        }
        std::array<char, 16384> bytes;
        Received got = receive_some(socket_.get(), bytes);
        if (got.bytes == 0 || (got.bytes < 0 && got.error != EAGAIN)) {
            return Error{"domain '" + name_ + "' ended the connection"};
        }
        if (got.bytes > 0) {
            const std::string_view text{bytes.data(), static_cast<std::size_t>(got.bytes)};
            if (auto fed = reader_.feed(text, std::move(got.descriptors)); !fed) {
                return Error{"domain '" + name_ + "': " + fed.error().message};
            }
        }
    }
}

Result<boost::json::object> Client::call(boost::json::object request, std::span<const int> descriptors,
                                         Clock::duration patience) {
    // A server that turns clients away says so and closes, perhaps before it was asked.
    const auto sent = send(FrameKind::message, format_message(std::move(request)), descriptors, patience);
    auto frame = receive(sent ? patience : Clock::duration::zero());
    if (!sent && (!frame || !*frame)) {
        return sent.error();
    }
    if (!frame) {
        return frame.error();
    }
    if (!*frame) {
        return Error{"domain '" + name_ + "' does not answer in time: it starts, or its process hangs"};
    }
    auto reply = parse_message((*frame)->payload);
    if (!reply) {
        return reply.error();
    }
    if (const auto error = text_member(*reply, "error")) {
        return Error{*error};
    }
    if (reply->contains("ended")) {
        return Error{"domain '" + name_ + "' has just ended"};
    }
    return reply;
}

int Client::peer() const {
    ucred credentials{};
    socklen_t length = sizeof(credentials);
    return ::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? credentials.pid : 0;
}

std::vector<std::string> domain_names(const std::vector<std::string>& folders) {
    std::set<std::string> names;
    for (const std::string& folder : folders) {
        if (!open_runtime_folder(folder)) {
            continue;
        }
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator{folder, error}) {
            if (entry.path().extension() == ".sock") {
                names.insert(entry.path().stem().string());
            }
        }
    }
    return {names.begin(), names.end()};
}

} // namespace parapet::vmm::control
