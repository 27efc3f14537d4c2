// SPDX-License-Identifier: Apache-2.0
#include "backends/net/net_backend.hpp"

#include "pv-abi/doorbell.hpp"

#include <boost/asio/post.hpp>
#include <future>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace parapet::net {

namespace {

bool flag(const xenbus::FrontendNodes& frontend, const char* name) {
    return frontend.number(name).value_or(0) != 0;
}

/// "queue-2/tx-ring-ref" where there are several queues.
Result<std::uint32_t> number(const xenbus::FrontendNodes& frontend, const std::string& name, std::uint64_t most) {
    const auto value = frontend.number(name, most);
    if (!value) {
        return Error{"the frontend's node " + name + " is missing or no number up to " + std::to_string(most)};
    }
    return static_cast<std::uint32_t>(*value);
}

Result<QueueNodes> read_queue(const xenbus::FrontendNodes& frontend, const std::string& prefix) {
    constexpr std::uint64_t most_port = doorbell::MAX_PORTS - 1;
    const bool split = frontend.text(prefix + "event-channel-tx").has_value();
    const auto tx_ring = number(frontend, prefix + "tx-ring-ref", 0xffffffff);
    const auto rx_ring = number(frontend, prefix + "rx-ring-ref", 0xffffffff);
    const auto tx_port = number(frontend, prefix + (split ? "event-channel-tx" : "event-channel"), most_port);
    const auto rx_port = split ? number(frontend, prefix + "event-channel-rx", most_port) : tx_port;
    for (const auto* value : {&tx_ring, &rx_ring, &tx_port, &rx_port}) {
        if (!*value) {
            return value->error();
        }
    }
    return QueueNodes{*tx_ring, *rx_ring, *tx_port, *rx_port};
}

} // namespace

NetBackend::NetBackend(const devices::BackendContext& context, const VifSpec& spec, unsigned id, Endpoint& endpoint)
    : context_{context}, spec_{spec}, id_{id}, endpoint_{endpoint} {}

NetBackend::~NetBackend() {
    *alive_ = false;
    close();
    if (closed_.valid()) {
        closed_.wait();
    }
}

xenbus::Nodes NetBackend::frontend_nodes() const {
    xenbus::Nodes nodes{{"handle", std::to_string(id_)}, {"mac", to_string(spec_.mac)}};
    if (spec_.mtu) {
        nodes.emplace_back("mtu", std::to_string(*spec_.mtu));
    }
    if (spec_.trusted) {
        nodes.emplace_back("trusted", *spec_.trusted ? "1" : "0");
    }
    return nodes;
}

xenbus::Nodes NetBackend::backend_nodes() const {
    xenbus::Nodes nodes{{"handle", std::to_string(id_)}, {"mac", to_string(spec_.mac)}};
    if (spec_.rate) {
        nodes.emplace_back("rate", std::to_string(spec_.rate->bytes) + ',' + std::to_string(spec_.rate->interval_us));
    }
    for (const auto& [name, value] :
         {std::pair{"ip", spec_.ip}, std::pair{"bridge", spec_.bridge}, std::pair{"vifname", spec_.tap_name}}) {
        if (!value.empty()) {
            nodes.emplace_back(name, value);
        }
    }
    return nodes;
}

xenbus::Nodes NetBackend::offer() {
    return {{"feature-sg", "1"},
            {"feature-gso-tcpv4", "1"},
            {"feature-gso-tcpv6", "1"},
            {"feature-ipv6-csum-offload", "1"},
            {"feature-rx-copy", "1"},
            {"feature-rx-flip", "0"},
            {"feature-split-event-channels", "1"},
            {"multi-queue-max-queues", std::to_string(spec_.queues)},
            {"hotplug-status", "connected"}};
}

Result<std::vector<QueueNodes>> NetBackend::read_queues(const xenbus::FrontendNodes& frontend) const {
    std::uint64_t count = 1;
    if (frontend.text("multi-queue-num-queues")) {
        count = frontend.number("multi-queue-num-queues").value_or(0);
        if (count == 0 || count > spec_.queues) {
            return Error{"the frontend's node multi-queue-num-queues is no number from 1 to " +
                         std::to_string(spec_.queues)};
        }
    }
    std::vector<QueueNodes> queues;
    for (std::uint64_t i = 0; i < count; ++i) {
        auto queue = read_queue(frontend, count == 1 ? "" : "queue-" + std::to_string(i) + '/');
        if (!queue) {
            return queue.error();
        }
        for (const QueueNodes& other : queues) {
            if (other.tx_port == queue->tx_port || other.rx_port == queue->rx_port || other.tx_port == queue->rx_port ||
                other.rx_port == queue->tx_port) {
                return Error{"the frontend's queues share an event channel"};
            }
        }
        queues.push_back(*queue);
    }
    return queues;
}

/// `what` as something that any thread may call: it runs on the control thread, if the backend is still there. Of words
/// that come faster than the control thread listens (a partner of a link says what it likes) it hears the latest.
template <typename Word, typename What>
std::function<void(Word)> NetBackend::on_control(What what) const {
    struct Latest {
        std::mutex mutex;
        std::optional<std::decay_t<Word>> word;
    };
    return [&control = context_.control, alive = alive_, what = std::move(what),
            latest = std::make_shared<Latest>()](Word word) {
        const std::lock_guard lock{latest->mutex};
        if (std::exchange(latest->word, std::decay_t<Word>{word})) {
            return; // it will be heard instead
        }
        boost::asio::post(control, [alive, what, latest] {
            std::unique_lock hearing{latest->mutex};
            const auto heard = *std::exchange(latest->word, std::nullopt);
            hearing.unlock();
            if (*alive) {
                what(heard);
            }
        });
    };
}

VifConnection::Events NetBackend::events() {
    VifConnection::Events events;
    events.fail = on_control<const std::string&>([this](const std::string& why) {
        if (fail) {
            fail(why);
        }
    });
    events.endpoint.carrier = on_control<bool>([this](bool up) {
        if (publish) {
            publish({{"carrier", up ? "1" : "0"}});
        }
    });
    events.endpoint.log = on_control<const std::string&>([this](const std::string& sentence) {
        if (context_.log) {
            context_.log("vif/" + std::to_string(id_) + ": " + sentence);
        }
    });
    return events;
}

Result<xenbus::Nodes> NetBackend::connect(const xenbus::FrontendNodes& frontend) {
    if (!flag(frontend, "request-rx-copy")) {
        return Error{"the frontend does not ask for request-rx-copy, and pages are not exchanged here"};
    }
    const auto queues = read_queues(frontend);
    if (!queues) {
        return queues.error();
    }
    FrontendFeatures features;
    features.scatter = flag(frontend, "feature-sg");
    features.rx_notify = flag(frontend, "feature-rx-notify");
    // Linux' tap knows one switch for both versions of IP.
    features.offloads.checksum =
        !flag(frontend, "feature-no-csum-offload") && flag(frontend, "feature-ipv6-csum-offload");
    const bool large = features.scatter && features.offloads.checksum;
    features.offloads.tso4 = large && flag(frontend, "feature-gso-tcpv4");
    features.offloads.tso6 = large && flag(frontend, "feature-gso-tcpv6");

    connection_ = std::make_shared<VifConnection>(context_.io, context_.grants, endpoint_, *counters_, features,
                                                  spec_.rate, events());
    Result<void> opened;
    context_.io.call([&] {
        opened = connection_->open(*queues);
        if (!opened) {
            connection_.reset();
        }
    });
    if (!opened) {
        return opened.error();
    }
    return xenbus::Nodes{};
}

void NetBackend::disconnect(std::function<void()> done) {
    if (connection_ == nullptr && waiting_.empty()) {
        done();
        return;
    }
    waiting_.push_back(std::move(done));
    close();
}

/// Has the I/O thread close the connection, if that is not under way already, and tells who waits for its end.
void NetBackend::close() {
    if (connection_ == nullptr) {
        return;
    }
    const auto closed = std::make_shared<std::promise<void>>();
    closed_ = closed->get_future();
    const auto tell = [this, alive = alive_] {
        if (*alive) {
            for (const auto& each : std::exchange(waiting_, {})) {
                each();
            }
        }
    };
    context_.io.post([connection = std::exchange(connection_, nullptr), &control = context_.control, closed, tell] {
        connection->close([&control, closed, tell] {
            boost::asio::post(control, tell);
            closed->set_value();
        });
    });
}

boost::json::object NetBackend::statistics() const {
    const VifCounters& c = *counters_;
    return {{"tx_frames", c.tx_frames.value()},       {"tx_bytes", c.tx_bytes.value()},
            {"tx_segmented", c.tx_segmented.value()}, {"tx_dropped", c.tx_dropped.value()},
            {"tx_errors", c.tx_errors.value()},       {"rx_frames", c.rx_frames.value()},
            {"rx_bytes", c.rx_bytes.value()},         {"rx_segmented", c.rx_segmented.value()},
            {"rx_dropped", c.rx_dropped.value()},     {"rx_errors", c.rx_errors.value()}};
}

} // namespace parapet::net
