// SPDX-License-Identifier: Apache-2.0
// The helper's end of the socket to the vmm: whole messages in, batches of completions out, never blocking.
#pragma once

#include "backends/nbd/protocol.hpp"

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace parapet::nbd {

class VmmPort {
public:
    explicit VmmPort(int socket) : socket_{socket} {}

    /// At the start; blocks until it is sent.
    void say_hello(const Hello& hello);
    static Hello refusal(const std::string& sentence);

    void complete(std::uint16_t slot, int result) { completions_.push_back({slot, 0, result}); }
    void tell(Happening what) { events_.push_back({{Kind::event, 0}, what, 0}); }
    /// Sends what has gathered, as far as the socket takes it: events first.
    void send();
    [[nodiscard]] bool wants_to_send() const { return !completions_.empty() || !events_.empty(); }

    enum class Got { nothing, requests, end };
    /// The next message. end: the vmm is gone, says good-bye, or talks nonsense.
    Got receive(std::span<const WireRequest>& requests);
    /// After the end: it came with bye_at_once.
    [[nodiscard]] bool in_haste() const { return in_haste_; }
    [[nodiscard]] int fd() const { return socket_; }

private:
    bool send_message(const void* message, std::size_t bytes);

    int socket_;
    std::deque<WireCompletion> completions_;
    std::deque<Event> events_;
    RequestMessage incoming_;
    bool in_haste_ = false;
};

} // namespace parapet::nbd
