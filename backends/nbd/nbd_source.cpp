// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/nbd_source.hpp"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <poll.h>
#include <utility>

namespace parapet::nbd {

namespace {

constexpr std::chrono::milliseconds end_patience{3000}, abandoned_patience{1200}, end_interval{20};

std::chrono::milliseconds patience_for(const Channel& channel) {
    return channel.abandoned() ? abandoned_patience : end_patience;
}

/// The end of the other side is always reported. Waits for it.
bool helper_has_ended(const Channel& channel, std::chrono::milliseconds patience) {
    pollfd watched{channel.socket(), 0, 0};
    return ::poll(&watched, 1, static_cast<int>(patience.count())) > 0;
}

/// Looks for the helper's end now and then; lives by its timer.
class Ending : public std::enable_shared_from_this<Ending> {
public:
    Ending(boost::asio::io_context& control, std::shared_ptr<Channel> channel, std::function<void()> done)
        : timer_{control}, channel_{std::move(channel)}, done_{std::move(done)} {}
    void look() {
        if (helper_has_ended(*channel_, {}) || std::chrono::steady_clock::now() >= until_) {
            std::exchange(done_, nullptr)();
            return;
        }
        timer_.expires_after(end_interval);
        timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (!error) {
                self->look();
            }
        });
    }

private:
    boost::asio::steady_timer timer_;
    std::shared_ptr<Channel> channel_;
    std::function<void()> done_;
    const std::chrono::steady_clock::time_point until_ = std::chrono::steady_clock::now() + patience_for(*channel_);
};

class NbdTarget final : public disk::DiskTarget {
public:
    NbdTarget(std::shared_ptr<Channel> channel, io::IoThread& io) : channel_{std::move(channel)}, io_{io} {
        io_.post([listener = channel_, &io] { listener->attach(io); });
    }
    [[nodiscard]] const disk::Geometry& geometry() const override { return channel_->geometry(); }
    void submit(disk::TargetRequest& request) override {
        channel_->attach(io_);
        channel_->submit(request);
    }
    void abandon() override { channel_->abandon(); }

private:
    std::shared_ptr<Channel> channel_;
    io::IoThread& io_;
};

Result<std::unique_ptr<disk::TargetSource>> make_source(Connection connection, std::string name, std::string kind,
                                                        Channel::Log log) {
    auto channel = Channel::create(std::move(connection), std::move(name), std::move(log));
    if (!channel) {
        return channel.error();
    }
    return std::unique_ptr<disk::TargetSource>{std::make_unique<NbdSource>(*std::move(channel), std::move(kind))};
}

Error malformed() {
    return Error{"the description of an NBD disk that was handed over is malformed; use one version of parapet"};
}

} // namespace

NbdSource::~NbdSource() {
    if (channel_) {
        channel_->say_bye();
        (void)helper_has_ended(*channel_, patience_for(*channel_));
    }
}

void NbdSource::close(boost::asio::io_context& control, std::function<void()> done) {
    channel_->say_bye();
    std::make_shared<Ending>(control, std::exchange(channel_, nullptr), std::move(done))->look();
}

std::unique_ptr<disk::DiskTarget> NbdSource::make_target(io::IoThread& io) {
    return std::make_unique<NbdTarget>(channel_, io);
}

devices::Handover NbdSource::to_handover() && {
    const auto channel = std::exchange(channel_, nullptr);
    Connection connection = std::move(*channel).give_away();
    const Hello& hello = connection.hello;
    devices::Handover handover;
    handover.description = {{"source", "nbd"},
                            {"name", channel->name()},
                            {"kind", kind_},
                            {"bytes", hello.bytes},
                            {"flags", hello.flags},
                            {"least-block", hello.least_block},
                            {"preferred-block", hello.preferred_block},
                            {"most-data", hello.most_data}};
    handover.descriptors.push_back(std::move(connection.socket));
    handover.descriptors.push_back(std::move(connection.memory));
    return handover;
}

Result<std::unique_ptr<disk::TargetSource>> nbd_from_handover(devices::Handover handover, Channel::Log log) {
    const boost::json::object& told = handover.description;
    const auto text = [&](const char* key) {
        const auto* value = told.if_contains(key);
        return value != nullptr && value->is_string() ? std::string{value->get_string().c_str()} : std::string{};
    };
    bool sound = handover.descriptors.size() == 2 && text("source") == "nbd";
    const auto number = [&](const char* key, std::uint64_t most) -> std::uint64_t {
        const auto* value = told.if_contains(key);
        std::uint64_t found = most;
        if (value != nullptr && value->is_uint64()) {
            found = value->get_uint64();
        } else if (value != nullptr && value->is_int64() && value->get_int64() >= 0) {
            found = static_cast<std::uint64_t>(value->get_int64());
        }
        sound = sound && found < most;
        return found;
    };
    Hello hello;
    hello.bytes = number("bytes", UINT64_MAX);
    hello.flags = static_cast<std::uint32_t>(number("flags", UINT32_MAX));
    hello.least_block = static_cast<std::uint32_t>(number("least-block", UINT32_MAX));
    hello.preferred_block = static_cast<std::uint32_t>(number("preferred-block", UINT32_MAX));
    hello.most_data = static_cast<std::uint32_t>(number("most-data", UINT32_MAX));
    if (!sound) {
        return malformed();
    }
    return make_source({std::move(handover.descriptors[0]), std::move(handover.descriptors[1]), hello}, text("name"),
                       text("kind"), std::move(log));
}

Result<std::unique_ptr<disk::TargetSource>> open_nbd(const NbdOptions& options, Channel::Log log) {
    auto connection = start_helper(options);
    if (!connection) {
        return connection.error();
    }
    return make_source(*std::move(connection), options.uri.empty() ? options.image : options.uri,
                       options.uri.empty() ? options.format + " through qemu-nbd" : "NBD", std::move(log));
}

} // namespace parapet::nbd
