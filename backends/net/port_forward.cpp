// SPDX-License-Identifier: Apache-2.0
#include "backends/net/vif_spec.hpp"

#include <arpa/inet.h>
#include <charconv>

namespace parapet::net {

namespace {

std::optional<std::uint16_t> port(std::string_view text) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number == 0 || number > 65535) {
        return std::nullopt;
    }
    return static_cast<std::uint16_t>(number);
}

bool is_address(const std::string& text, bool ipv6) {
    in6_addr address{};
    return ::inet_pton(ipv6 ? AF_INET6 : AF_INET, text.c_str(), &address) == 1;
}

/// Takes "ADDRESS:" from the front, if there is one. False: malformed.
bool take_address(std::string_view& rest, std::string& address) {
    if (rest.starts_with('[')) {
        const std::size_t end = rest.find("]:");
        if (end == std::string_view::npos) {
            return false;
        }
        address = rest.substr(1, end - 1);
        rest.remove_prefix(end + 2);
        return is_address(address, true);
    }
    const std::size_t first = rest.find(':');
    if (first == std::string_view::npos || rest.find(':', first + 1) == std::string_view::npos) {
        return true;
    }
    address = rest.substr(0, first);
    rest.remove_prefix(first + 1);
    return is_address(address, false);
}

} // namespace

Result<PortForward> parse_forward(std::string_view text) {
    const std::string shown = "forward=" + std::string{text};
    PortForward forward;
    std::string_view rest = text;
    if (rest.starts_with("tcp:") || rest.starts_with("udp:")) {
        forward.udp = rest.starts_with("udp:");
        rest.remove_prefix(4);
    }
    if (!take_address(rest, forward.host_address)) {
        return Error{shown + ": the address is neither IPv4 nor [IPv6]; write tcp:127.0.0.1:2222:22"};
    }
    const std::size_t colon = rest.find(':');
    const auto host = port(rest.substr(0, colon));
    const auto guest = colon == std::string_view::npos ? host : port(rest.substr(colon + 1));
    if (!host || !guest) {
        return Error{shown + ": a port is a number from 1 to 65535; write tcp:HOSTPORT:GUESTPORT, as in tcp:2222:22"};
    }
    forward.host_port = *host;
    forward.guest_port = *guest;
    return forward;
}

} // namespace parapet::net
