// SPDX-License-Identifier: Apache-2.0
// The other end of a control socket: what `parapet list`, `shutdown`, ... talk with.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"
#include "vmm/control/frame.hpp"
#include "vmm/control/runtime_folder.hpp"

#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <sys/un.h>
#include <vector>

namespace parapet::vmm::control {

/// An Error where the path is too long for a socket's.
[[nodiscard]] Result<sockaddr_un> socket_address(const std::string& path);
/// A connection to a socket that somebody listens on. An Error names the path.
[[nodiscard]] Result<UniqueFd> connect_to(const std::string& path);

/// One connection to a running domain. Waits, within bounds.
class Client {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds usual_patience{10};

    Client(UniqueFd socket, std::string name) : socket_{std::move(socket)}, name_{std::move(name)} {}
    /// The running domain of that name.
    static Result<Client> open(const std::string& name, const std::vector<std::string>& folders = runtime_folders());

    /// Sends a request and returns the reply, or its sentence as an Error.
    Result<boost::json::object> call(boost::json::object request, std::span<const int> descriptors = {},
                                     Clock::duration patience = usual_patience);
    Result<void> send(FrameKind kind, std::string_view payload, std::span<const int> descriptors = {},
                      Clock::duration patience = usual_patience);
    /// The next frame. Nothing: it did not come in time. An Error: the domain closed the connection.
    Result<std::optional<Frame>> receive(std::optional<Clock::duration> patience);

    [[nodiscard]] int socket() const { return socket_.get(); }
    [[nodiscard]] const std::string& name() const { return name_; }
    /// The process that listens: the domain's. 0: unknown.
    [[nodiscard]] int peer() const;

private:
    UniqueFd socket_;
    std::string name_;
    FrameReader reader_;
};

/// Names of what seems to run: sockets in the folders; some may belong to nobody any more.
[[nodiscard]] std::vector<std::string> domain_names(const std::vector<std::string>& folders = runtime_folders());

} // namespace parapet::vmm::control
