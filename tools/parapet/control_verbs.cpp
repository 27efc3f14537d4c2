// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/control_verbs.hpp"

#include "tools/parapet/devices.hpp"
#include "tools/parapet/exit_status.hpp"
#include "tools/parapet/quantities.hpp"
#include "vmm/control/client.hpp"
#include "vmm/control/message.hpp"

#include <cstdio>
#include <thread>

namespace parapet::cli {
namespace {

namespace control = vmm::control;
using control::Client;
using namespace std::chrono_literals;

/// How long --wait waits.
std::optional<Client::Clock::time_point> end_of_patience(const ControlOptions& options) {
    if (!options.timeout) {
        return std::nullopt;
    }
    return Client::Clock::now() + std::chrono::duration_cast<Client::Clock::duration>(*options.timeout);
}

std::optional<Client::Clock::duration> left_until(std::optional<Client::Clock::time_point> end) {
    return end ? std::optional{std::max(*end - Client::Clock::now(), Client::Clock::duration::zero())} : std::nullopt;
}

int timed_out(const std::string& sentence) {
    complain(sentence);
    return exit_timeout;
}

/// Until the domain has ended and its name is free.
int wait_for_end(Client& client, const ControlOptions& options) {
    const auto end = end_of_patience(options);
    if (auto sent = client.send(control::FrameKind::message, control::format_message({{"request", "wait"}})); !sent) {
        return exit_powered_off; // it has ended already
    }
    for (;;) {
        const auto frame = client.receive(left_until(end));
        if (frame && !*frame) {
            return timed_out("domain '" + client.name() + "' has not ended in time");
        }
        if (!frame) {
            break; // its process has gone
        }
    }
    const auto sweeping = Client::Clock::now() + 2s;
    while (Client::open(client.name()) && Client::Clock::now() < sweeping) {
        std::this_thread::sleep_for(10ms);
    }
    return exit_powered_off;
}

std::uint64_t owned_by(const boost::json::object& info) {
    const auto* memory = info.if_contains("memory");
    const auto* members = memory == nullptr ? nullptr : memory->if_object();
    return members == nullptr ? 0 : control::number_member(*members, "now_bytes").value_or(0);
}

int wait_for_memory(Client& client, const ControlOptions& options) {
    const auto end = end_of_patience(options);
    for (;;) {
        const auto info = client.call({{"request", "info"}});
        if (!info) {
            return complain(info.error().message);
        }
        if (owned_by(*info) == options.bytes / 4096 * 4096) {
            return exit_powered_off;
        }
        if (end && Client::Clock::now() >= *end) {
            return timed_out("domain '" + options.domain + "' has " + format_size(owned_by(*info)) + " and not yet " +
                             format_size(options.bytes) + ": its balloon driver goes on, if it has one");
        }
        std::this_thread::sleep_for(100ms);
    }
}

/// Asks one thing of a domain; what is done with the connection afterwards, `then` says.
template <typename Then>
int ask(const std::string& name, boost::json::object request, Then then) {
    auto client = Client::open(name);
    if (!client) {
        return complain(client.error().message);
    }
    if (const auto reply = client->call(std::move(request)); !reply) {
        return complain(reply.error().message);
    }
    return then(*client);
}

} // namespace

int complain(const std::string& sentence) {
    std::fprintf(stderr, "parapet: %s\n", sentence.c_str());
    return exit_failed;
}

int shut_down_domain(const ControlOptions& options, const std::string& how) {
    return ask(options.domain, {{"request", "shutdown"}, {"how", how}},
               [&options](Client& client) { return options.wait ? wait_for_end(client, options) : exit_powered_off; });
}

int destroy_domain(const ControlOptions& options) {
    ControlOptions waiting = options;
    waiting.timeout = 10s;
    return ask(options.domain, {{"request", "destroy"}},
               [&waiting](Client& client) { return wait_for_end(client, waiting); });
}

int set_domain_memory(const ControlOptions& options) {
    return ask(options.domain, {{"request", "mem-set"}, {"bytes", options.bytes}}, [&options](Client& client) {
        return options.wait ? wait_for_memory(client, options) : exit_powered_off;
    });
}

int attach_device(const ControlOptions& options) {
    auto client = Client::open(options.domain); // before the device is opened, and perhaps locked
    if (!client) {
        return complain(client.error().message);
    }
    auto source = open_device(options.device, options.spec);
    if (!source) {
        return complain(source.error().message);
    }
    const devices::Handover handover = std::move(**source).to_handover();
    std::vector<int> descriptors;
    for (const UniqueFd& descriptor : handover.descriptors) {
        descriptors.push_back(descriptor.get());
    }
    const auto reply = client->call({{"request", "attach"}, {"device", handover.description}}, descriptors);
    if (!reply) {
        return complain(reply.error().message);
    }
    const auto* device = reply->if_contains("device");
    const auto name =
        device != nullptr && device->is_object() ? control::text_member(device->get_object(), "name") : std::nullopt;
    return std::printf("%s\n", name.value_or(options.device).c_str()) > 0 && std::fflush(stdout) == 0 ? exit_powered_off
                                                                                                      : exit_failed;
}

int detach_device(const ControlOptions& options) {
    const auto patience =
        std::chrono::duration_cast<Client::Clock::duration>(options.timeout.value_or(std::chrono::seconds{10}));
    auto client = Client::open(options.domain);
    if (!client) {
        return complain(client.error().message);
    }
    const auto sent = client->send(
        control::FrameKind::message,
        control::format_message({{"request", "detach"}, {"device", options.device}, {"force", options.force}}));
    if (!sent) {
        return complain(sent.error().message);
    }
    const auto frame = client->receive(patience);
    if (!frame) {
        return complain(frame.error().message);
    }
    if (!*frame) {
        return timed_out(
            "the guest has not let go of '" + options.device +
            "' yet, or the host has not finished a request of it: it goes when they have; --force does not wait "
            "for the guest");
    }
    const auto reply = control::parse_message((*frame)->payload);
    if (!reply) {
        return complain(reply.error().message);
    }
    const auto error = control::text_member(*reply, "error");
    return error ? complain(*error) : exit_powered_off;
}

} // namespace parapet::cli
