// SPDX-License-Identifier: Apache-2.0
#include "backends/net/net_source.hpp"

#include "backends/net/link_endpoint.hpp"
#include "backends/net/net_backend.hpp"
#include "backends/net/passt_process.hpp"
#include "backends/net/stream_endpoint.hpp"
#include "backends/net/tap_device.hpp"
#include "backends/net/tap_endpoint.hpp"

#include <boost/json/value_to.hpp>
#include <tuple>

namespace parapet::net {

namespace {

class NetSource final : public devices::DeviceSource {
public:
    NetSource(VifSpec spec, unsigned id, std::unique_ptr<Endpoint> endpoint)
        : spec_{std::move(spec)}, id_{id}, endpoint_{std::move(endpoint)} {}

    [[nodiscard]] std::string kind() const override { return std::string{vif_device_kind}; }
    [[nodiscard]] unsigned id() const override { return id_; }
    [[nodiscard]] std::string name() const override { return "vif" + std::to_string(id_); }
    [[nodiscard]] std::string describe() const override {
        std::string text = name() + ' ' + endpoint_->describe() + ", " + to_string(spec_.mac);
        for (const PortForward& forward : spec_.forwards) {
            text += std::string{forward.udp ? ", udp " : ", tcp "} + forward.host_address + ':' +
                    std::to_string(forward.host_port) + " to " + std::to_string(forward.guest_port);
        }
        return text;
    }
    [[nodiscard]] std::unique_ptr<devices::DeviceBackend>
    make_backend(const devices::BackendContext& context) override {
        return std::make_unique<NetBackend>(context, spec_, id_, *endpoint_);
    }
    [[nodiscard]] devices::Handover to_handover() && override;

private:
    VifSpec spec_;
    unsigned id_;
    std::unique_ptr<Endpoint> endpoint_;
};

devices::Handover NetSource::to_handover() && {
    devices::Handover handover;
    boost::json::object& to = handover.description;
    to = {{"kind", kind()}, {"mac", to_string(spec_.mac)}, {"queues", spec_.queues}, {"ip", spec_.ip}};
    if (spec_.devid) {
        to["devid"] = *spec_.devid;
    }
    if (spec_.mtu) {
        to["mtu"] = *spec_.mtu;
    }
    if (spec_.trusted) {
        to["trusted"] = *spec_.trusted;
    }
    if (spec_.rate) {
        to["rate"] = {spec_.rate->bytes, spec_.rate->interval_us};
    }
    boost::json::array forwards;
    for (const PortForward& forward : spec_.forwards) {
        forwards.push_back({forward.udp, forward.host_address, forward.host_port, forward.guest_port});
    }
    to["forwards"] = std::move(forwards);
    endpoint_->hand_over(handover);
    return handover;
}

constexpr unsigned most_devid = 65535;

/// Reads a description that may say anything.
class Description {
public:
    explicit Description(const boost::json::object& object) : object_{object} {}
    template <typename T>
    [[nodiscard]] std::optional<T> get(const char* name) const {
        const auto* value = object_.if_contains(name);
        if (value == nullptr) {
            return std::nullopt;
        }
        auto result = boost::json::try_value_to<T>(*value);
        return result.has_value() ? std::optional<T>{*std::move(result)} : std::nullopt;
    }

private:
    const boost::json::object& object_;
};

std::optional<std::vector<PortForward>> read_forwards(const boost::json::value& value) {
    using Ports = std::tuple<bool, std::string, std::uint16_t, std::uint16_t>;
    const auto list = boost::json::try_value_to<std::vector<Ports>>(value);
    if (!list) {
        return std::nullopt;
    }
    std::vector<PortForward> forwards;
    for (const auto& [udp, address, host_port, guest_port] : *list) {
        forwards.push_back({udp, address, host_port, guest_port});
    }
    return forwards;
}

std::optional<VifSpec> read_spec(const boost::json::object& object) {
    const Description in{object};
    VifSpec spec;
    const auto mac = parse_mac(in.get<std::string>("mac").value_or(""));
    spec.queues = in.get<unsigned>("queues").value_or(0);
    if (!mac || is_multicast(*mac) || spec.queues == 0 || spec.queues > max_queues) {
        return std::nullopt;
    }
    spec.mac = *mac;
    spec.ip = in.get<std::string>("ip").value_or("");
    spec.devid = in.get<unsigned>("devid");
    spec.mtu = in.get<unsigned>("mtu");
    spec.trusted = in.get<bool>("trusted");
    if (const auto* rate = object.if_contains("rate")) {
        const auto numbers = boost::json::try_value_to<std::vector<std::uint64_t>>(*rate);
        if (!numbers || numbers->size() != 2 || (*numbers)[0] == 0 || (*numbers)[0] > most_rate_bytes ||
            (*numbers)[1] == 0 || (*numbers)[1] > most_rate_interval_us) {
            return std::nullopt;
        }
        spec.rate = VifRate{(*numbers)[0], (*numbers)[1]};
    }
    if (const auto* forwards = object.if_contains("forwards")) { // for who reads the list: passt has them
        auto read = read_forwards(*forwards);
        if (!read) {
            return std::nullopt;
        }
        spec.forwards = *std::move(read);
    }
    const unsigned mtu = spec.mtu.value_or(least_mtu);
    return spec.devid.value_or(0) <= most_devid && mtu >= least_mtu && mtu <= most_mtu ? std::optional{spec}
                                                                                       : std::nullopt;
}

std::unique_ptr<Endpoint> read_endpoint(devices::Handover& handover, unsigned queues) {
    const Description in{handover.description};
    auto& fds = handover.descriptors;
    const std::string kind = in.get<std::string>("endpoint").value_or("");
    if (kind == "tap" && fds.size() == queues) {
        return std::make_unique<TapEndpoint>(in.get<std::string>("name").value_or("tap"), std::move(fds));
    }
    if (kind == "user" && fds.size() == 1) {
        return std::make_unique<StreamEndpoint>(std::move(fds[0]));
    }
    if (kind == "socket" && fds.size() == 1) {
        LinkSockets sockets;
        (in.get<bool>("listens").value_or(false) ? sockets.listener : sockets.peer) = std::move(fds[0]);
        return std::make_unique<LinkEndpoint>(in.get<std::string>("path").value_or(""), std::move(sockets));
    }
    return nullptr;
}

Result<std::unique_ptr<Endpoint>> open_endpoint(const VifSpec& spec) {
    switch (spec.endpoint) {
    case EndpointKind::tap: {
        auto tap = open_tap({spec.tap_name, spec.tap_exists, spec.bridge, spec.mtu, spec.queues});
        if (!tap) {
            return tap.error();
        }
        return std::unique_ptr<Endpoint>{std::make_unique<TapEndpoint>(tap->name, std::move(tap->queues))};
    }
    case EndpointKind::socket: {
        auto sockets = open_link(spec.socket_path);
        if (!sockets) {
            return sockets.error();
        }
        return std::unique_ptr<Endpoint>{std::make_unique<LinkEndpoint>(spec.socket_path, *std::move(sockets))};
    }
    case EndpointKind::user:
        break;
    }
    auto socket = start_passt(spec);
    if (!socket) {
        return socket.error();
    }
    return std::unique_ptr<Endpoint>{std::make_unique<StreamEndpoint>(*std::move(socket))};
}

} // namespace

Result<std::unique_ptr<devices::DeviceSource>> open_vif(const VifSpec& spec, unsigned id) {
    auto endpoint = open_endpoint(spec);
    if (!endpoint) {
        return endpoint.error();
    }
    return std::unique_ptr<devices::DeviceSource>{
        std::make_unique<NetSource>(spec, spec.devid.value_or(id), *std::move(endpoint))};
}

Result<std::unique_ptr<devices::DeviceSource>> net_from_handover(devices::Handover handover, unsigned default_id) {
    const auto spec = read_spec(handover.description);
    auto endpoint = spec ? read_endpoint(handover, spec->queues) : nullptr;
    if (endpoint == nullptr) {
        return Error{"the description of the interface to attach is malformed; use 'parapet attach' of this version"};
    }
    return std::unique_ptr<devices::DeviceSource>{
        std::make_unique<NetSource>(*spec, spec->devid.value_or(default_id), std::move(endpoint))};
}

} // namespace parapet::net
