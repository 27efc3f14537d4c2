// SPDX-License-Identifier: Apache-2.0
#include "backends/net/vif_spec.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <net/if.h>
#include <sys/un.h>

namespace parapet::net {

namespace {

Error wrong(std::string_view key, std::string_view value, std::string_view why) {
    return Error{"" + std::string{key} + '=' + std::string{value} + ' ' + std::string{why}};
}

std::optional<unsigned> number(std::string_view text, unsigned least, unsigned most) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
        return std::nullopt;
    }
    return value;
}

bool is_interface_name(std::string_view name) {
    return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
           name.find_first_of("/: \t\n%") == std::string_view::npos;
}

/// The specification in the making.
struct Draft {
    VifSpec spec;
    std::optional<EndpointKind> endpoint;
    std::string named; ///< the option that named the endpoint
    bool mac = false;
};

Result<void> set_endpoint(Draft& draft, EndpointKind kind, std::string named) {
    if (draft.endpoint && *draft.endpoint != kind) {
        return Error{"" + draft.named + " and " + named + " name two endpoints; an interface has one"};
    }
    draft.endpoint = kind;
    draft.named = std::move(named);
    return {};
}

Result<void> set_endpoint_word(Draft& draft, std::string_view word) {
    if (word == "user" || word == "tap") {
        return set_endpoint(draft, word == "user" ? EndpointKind::user : EndpointKind::tap, std::string{word});
    }
    if (word == "socket") {
        return Error{"socket needs the path that both domains name; write socket=PATH"};
    }
    return Error{"'" + std::string{word} +
                 "' is no endpoint and no KEY=VALUE; the endpoints are user, tap, tap=NAME and socket=PATH"};
}

Result<void> set_mac(Draft& draft, std::string_view value) {
    const auto mac = parse_mac(value);
    if (!mac) {
        return wrong("mac", value, "is no MAC address; write six bytes as in 00:16:3e:01:02:03");
    }
    if (is_multicast(*mac) || *mac == MacAddress{}) {
        return wrong("mac", value, "is a multicast or zero address; an interface's own has an even first byte");
    }
    draft.spec.mac = *mac;
    draft.mac = true;
    return {};
}

Result<void> set_name(std::string& to, std::string_view key, std::string_view value) {
    if (!is_interface_name(value)) {
        return wrong(key, value, "is no name of an interface (1 to 15 characters, without '/', ':', '%' and spaces)");
    }
    to = value;
    return {};
}

Result<void> set_socket(Draft& draft, std::string_view value) {
    if (value.empty() || value.size() >= sizeof(sockaddr_un::sun_path)) {
        return wrong("socket", value, "is no path of a socket (1 to 107 characters)");
    }
    draft.spec.socket_path = value;
    return set_endpoint(draft, EndpointKind::socket, "socket=");
}

Result<void> set_number(std::optional<unsigned>& to, std::string_view key, std::string_view value, unsigned least,
                        unsigned most) {
    to = number(value, least, most);
    if (!to) {
        return wrong(key, value, "is not a number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return {};
}

struct Key {
    std::string_view name;
    Result<void> (*set)(Draft&, std::string_view);
};

constexpr Key keys[] = {
    {"endpoint", set_endpoint_word},
    {"mac", set_mac},
    {"tap",
     [](Draft& draft, std::string_view value) -> Result<void> {
         draft.spec.tap_exists = true;
         if (auto done = set_name(draft.spec.tap_name, "tap", value); !done) {
             return done;
         }
         return set_endpoint(draft, EndpointKind::tap, "tap=");
     }},
    {"socket", set_socket},
    {"vifname",
     [](Draft& draft, std::string_view value) {
         return draft.spec.tap_exists ? Error{"tap= names the interface already; leave vifname= out"}
                                      : set_name(draft.spec.tap_name, "vifname", value);
     }},
    {"bridge", [](Draft& draft, std::string_view value) { return set_name(draft.spec.bridge, "bridge", value); }},
    {"rate",
     [](Draft& draft, std::string_view value) -> Result<void> {
         auto rate = parse_rate(value);
         if (!rate) {
             return rate.error();
         }
         draft.spec.rate = *rate;
         return {};
     }},
    {"forward",
     [](Draft& draft, std::string_view value) -> Result<void> {
         auto forward = parse_forward(value);
         if (!forward) {
             return forward.error();
         }
         draft.spec.forwards.push_back(*std::move(forward));
         return {};
     }},
    {"mtu", [](Draft& draft,
               std::string_view value) { return set_number(draft.spec.mtu, "mtu", value, least_mtu, most_mtu); }},
    {"devid",
     [](Draft& draft, std::string_view value) { return set_number(draft.spec.devid, "devid", value, 0, 65535); }},
    {"queues",
     [](Draft& draft, std::string_view value) {
         std::optional<unsigned> queues;
         auto done = set_number(queues, "queues", value, 1, max_queues);
         draft.spec.queues = queues.value_or(1);
         return done;
     }},
    {"ip",
     [](Draft& draft, std::string_view value) -> Result<void> {
         if (value.find_first_not_of("0123456789abcdefABCDEF.:/ ") != std::string_view::npos) {
             return wrong("ip", value, "is no IP address");
         }
         draft.spec.ip = value;
         return {};
     }},
    {"trusted",
     [](Draft& draft, std::string_view value) -> Result<void> {
         if (value != "0" && value != "1") {
             return wrong("trusted", value, "is neither 0 nor 1");
         }
         draft.spec.trusted = value == "1";
         return {};
     }},
    {"type",
     [](Draft&, std::string_view value) -> Result<void> {
         return value == "vif" || value == "netfront"
                    ? Result<void>{}
                    : wrong("type", value, "needs an emulated card, which PV guests have not; leave it out");
     }},
    {"model",
     [](Draft&, std::string_view value) -> Result<void> {
         return value == "netfront" || value == "vif"
                    ? Result<void>{}
                    : wrong("model", value, "is an emulated card, which PV guests have not; leave it out");
     }},
    {"backend",
     [](Draft&, std::string_view value) -> Result<void> {
         return value == "0" || value == "Domain-0"
                    ? Result<void>{}
                    : wrong("backend", value, "is no backend here: this host serves its domains itself; leave it out");
     }},
    {"script",
     [](Draft&, std::string_view value) -> Result<void> {
         return wrong("script", value,
                      "is not run here; use tap with bridge=, or tap=NAME for an interface that you "
                      "have set up");
     }},
    {"gatewaydev",
     [](Draft&, std::string_view value) -> Result<void> {
         return wrong("gatewaydev", value,
                      "needs a script, which is not run here; use tap=NAME for an interface that "
                      "you have set up");
     }},
};

Result<void> set_part(Draft& draft, std::string_view part) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
        return set_endpoint_word(draft, part);
    }
    const std::string_view name = part.substr(0, equals);
    const auto* key = std::find_if(std::begin(keys), std::end(keys), [&](const Key& k) { return k.name == name; });
    if (key == std::end(keys)) {
        return Error{"there is no option '" + std::string{name} +
                     "='; see docs/devices.md (mac, rate, mtu, forward, bridge, vifname, tap, socket, queues, …)"};
    }
    return key->set(draft, part.substr(equals + 1));
}

/// What does not go together.
Result<void> check(const VifSpec& spec) {
    const bool tap = spec.endpoint == EndpointKind::tap;
    if (!tap && !(spec.tap_name.empty() && spec.bridge.empty())) {
        return Error{"vifname= and bridge= are for the endpoint tap; leave them out, or use tap"};
    }
    if (spec.endpoint != EndpointKind::user && !spec.forwards.empty()) {
        return Error{"forward= is for the endpoint user; leave it out, or use user"};
    }
    if (spec.tap_exists && !spec.bridge.empty()) {
        return Error{"tap= takes an interface as it is; put it into the bridge yourself, or use tap,vifname="};
    }
    for (std::size_t i = 0; i < spec.forwards.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            const PortForward &a = spec.forwards[i], &b = spec.forwards[j];
            if (a.udp == b.udp && a.host_port == b.host_port && a.host_address == b.host_address) {
                return Error{"forward= names the host's port " + std::to_string(a.host_port) + " twice"};
            }
        }
    }
    return {};
}

} // namespace

Result<VifSpec> parse_vif(std::string_view text) {
    Draft draft;
    while (!text.empty()) {
        const std::string_view part = text.substr(0, text.find(','));
        text.remove_prefix(std::min(part.size() + 1, text.size()));
        if (part.empty()) {
            continue; // as xl
        }
        if (auto done = set_part(draft, part); !done) {
            return done.error();
        }
    }
    VifSpec& spec = draft.spec;
    const bool like_tap = !(spec.bridge.empty() && spec.tap_name.empty());
    spec.endpoint = draft.endpoint.value_or(like_tap ? EndpointKind::tap : EndpointKind::user);
    if (auto done = check(spec); !done) {
        return done.error();
    }
    if (!draft.mac) {
        spec.mac = random_mac();
    }
    return std::move(spec);
}

} // namespace parapet::net
