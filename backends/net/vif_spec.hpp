// SPDX-License-Identifier: Apache-2.0
// What the user says of a virtual network interface: xl's vif syntax (xl-network-configuration(5)), with one word more
// for what it is plugged into.
//
//   user,mac=00:16:3e:01:02:03,forward=tcp:2222:22     passt: the host's network, without any right
//   tap,bridge=br0,vifname=web0,rate=10Mb/s@50ms       a tap interface that is made, or tap=NAME: one that exists
//   socket=/run/user/1000/link                         a cable to the domain that names the same path
#pragma once

#include "backends/net/mac_address.hpp"
#include "support/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::net {

enum class EndpointKind : std::uint8_t { user, tap, socket };

/// Guest transmit may use so many bytes in each interval (`rate`).
struct VifRate {
    std::uint64_t bytes = 0;
    std::uint64_t interval_us = 50'000;
};

inline constexpr std::uint64_t most_rate_bytes = std::uint64_t{1} << 48; ///< far more than there is
inline constexpr std::uint64_t most_rate_interval_us = 60'000'000;

/// A port of the host that leads to one of the guest.
struct PortForward {
    bool udp = false;
    std::string host_address = "127.0.0.1";
    std::uint16_t host_port = 0, guest_port = 0;
};

struct VifSpec {
    EndpointKind endpoint = EndpointKind::user;
    MacAddress mac{};
    std::optional<unsigned> devid;
    std::optional<unsigned> mtu;
    std::optional<VifRate> rate;
    std::optional<bool> trusted;
    std::string ip; ///< for whoever reads the backend's nodes
    unsigned queues = 1;
    // tap
    std::string tap_name;              ///< empty: the kernel chooses ("vif%d")
    bool tap_exists = false;           ///< tap=NAME: opened, neither made nor changed
    std::string bridge;                ///< empty: none
    std::string socket_path;           ///< socket
    std::vector<PortForward> forwards; ///< user
};

inline constexpr unsigned max_queues = 8;
inline constexpr unsigned least_mtu = 68, most_mtu = 65520;

/// The sentence of an Error names the part that is wrong; whoever shows it puts "--vif: " before.
Result<VifSpec> parse_vif(std::string_view text);

/// RATE of xl: "10Mb/s", "1MB/s@20ms", "250Kb/s@1s".
Result<VifRate> parse_rate(std::string_view text);
/// "[tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT", or one port for both; an IPv6 address stands in brackets.
Result<PortForward> parse_forward(std::string_view text);

} // namespace parapet::net
