// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/vmm_port.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace parapet::nbd {

void VmmPort::say_hello(const Hello& hello) {
    (void)::send(socket_, &hello, sizeof(hello), MSG_NOSIGNAL);
}

Hello VmmPort::refusal(const std::string& sentence) {
    Hello hello;
    hello.failed = 1;
    std::memcpy(hello.error.data(), sentence.data(), std::min(sentence.size(), hello.error.size() - 1));
    return hello;
}

bool VmmPort::send_message(const void* message, std::size_t bytes) {
    const ssize_t sent = ::send(socket_, message, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent >= 0 || (errno != EAGAIN && errno != EINTR); // of other errors receive() tells
}

void VmmPort::send() {
    while (!events_.empty() && send_message(&events_.front(), sizeof(Event))) {
        events_.pop_front();
    }
    while (!completions_.empty()) {
        CompletionMessage message;
        const std::size_t count = std::min<std::size_t>(completions_.size(), most_entries);
        message.header.count = static_cast<std::uint32_t>(count);
        std::copy_n(completions_.begin(), count, message.entries.begin());
        if (!send_message(&message, message_bytes<CompletionMessage>(count))) {
            return;
        }
        completions_.erase(completions_.begin(), completions_.begin() + static_cast<std::ptrdiff_t>(count));
    }
}

VmmPort::Got VmmPort::receive(std::span<const WireRequest>& requests) {
    const ssize_t got = ::recv(socket_, &incoming_, sizeof(incoming_), MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? Got::nothing : Got::end;
    }
    const auto bytes = static_cast<std::size_t>(got);
    const std::uint32_t count = incoming_.header.count;
    if (bytes == sizeof(Bye) && incoming_.header.kind == Kind::bye) {
        in_haste_ = count == bye_at_once;
        return Got::end;
    }
    if (bytes < sizeof(Header) || incoming_.header.kind != Kind::requests || count == 0 || count > most_entries ||
        bytes != message_bytes<RequestMessage>(count)) {
        return Got::end;
    }
    requests = {incoming_.entries.data(), count};
    return Got::requests;
}

} // namespace parapet::nbd
