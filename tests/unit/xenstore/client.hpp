// SPDX-License-Identifier: Apache-2.0
// A small xenstore client over a Connection, for tests.
#pragma once

#include "iorings/xenstore/connection.hpp"

#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parapet::xenstore::test {

inline constexpr DomId guest{1};

struct Message {
    abi::xsd_sockmsg header{};
    std::string payload;
};

/// Joins strings, each closed by a NUL.
inline std::string nul(std::initializer_list<std::string_view> parts) {
    std::string text;
    for (const auto part : parts)
        text.append(part).push_back('\0');
    return text;
}

inline std::string encode(std::uint32_t type, std::string_view payload, std::uint32_t tx = 0, std::uint32_t id = 7) {
    const abi::xsd_sockmsg header{type, id, tx, static_cast<std::uint32_t>(payload.size())};
    std::string bytes(sizeof header, '\0');
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes.append(payload);
}

/// Cuts complete messages off the front of a stream.
inline std::vector<Message> decode(std::string& stream) {
    std::vector<Message> messages;
    while (stream.size() >= sizeof(abi::xsd_sockmsg)) {
        Message message;
        std::memcpy(&message.header, stream.data(), sizeof message.header);
        const auto total = sizeof message.header + message.header.len;
        if (stream.size() < total)
            break;
        message.payload = stream.substr(sizeof message.header, message.header.len);
        stream.erase(0, total);
        messages.push_back(std::move(message));
    }
    return messages;
}

class Client {
public:
    Client(Store& store, DomId domid) : connection{store, domid} {}

    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto taken = connection.feed(std::as_bytes(std::span{bytes.data(), bytes.size()}));
            receive();
            if (taken == 0)
                return;
            bytes.remove_prefix(taken);
        }
    }

    void receive() {
        for (auto output = connection.output(); !output.empty(); output = connection.output()) {
            stream.append(reinterpret_cast<const char*>(output.data()), output.size());
            connection.consume_output(output.size());
        }
        for (auto& message : decode(stream))
            order.push_back(std::move(message));
    }

    /// The reply's payload; of an error its name, with '!' before it and without the NUL. Events are kept for events().
    std::string call(std::uint32_t type, std::string_view payload, std::uint32_t tx = 0) {
        send(encode(type, payload, tx, ++last_id));
        for (auto message = order.begin(); message != order.end(); ++message) {
            if (message->header.type == abi::XS_WATCH_EVENT)
                continue;
            const Message reply = *message;
            order.erase(message);
            if (reply.header.req_id != last_id || reply.header.tx_id != tx)
                return "!wrong reply";
            if (reply.header.type == abi::XS_ERROR)
                return '!' + std::string{reply.payload.c_str()};
            return reply.header.type == type ? reply.payload : "!wrong type";
        }
        return "!no reply";
    }

    // The same with the usual payloads. Acknowledgements come without their NUL.
    std::string read(std::string_view path, std::uint32_t tx = 0) { return call(abi::XS_READ, nul({path}), tx); }
    std::string write(std::string_view path, std::string_view value, std::uint32_t tx = 0) {
        return ack(call(abi::XS_WRITE, nul({path}).append(value), tx));
    }
    std::string mkdir(std::string_view path, std::uint32_t tx = 0) { return ack(call(abi::XS_MKDIR, nul({path}), tx)); }
    std::string rm(std::string_view path, std::uint32_t tx = 0) { return ack(call(abi::XS_RM, nul({path}), tx)); }
    std::string directory(std::string_view path, std::uint32_t tx = 0) {
        return call(abi::XS_DIRECTORY, nul({path}), tx);
    }
    std::string watch(std::string_view path, std::string_view token) {
        return ack(call(abi::XS_WATCH, nul({path, token})));
    }
    std::string unwatch(std::string_view path, std::string_view token) {
        return ack(call(abi::XS_UNWATCH, nul({path, token})));
    }
    std::string perms(std::string_view path, std::uint32_t tx = 0) { return call(abi::XS_GET_PERMS, nul({path}), tx); }
    std::uint32_t start() {
        const auto reply = call(abi::XS_TRANSACTION_START, nul({""}));
        return reply.starts_with('!') ? 0 : static_cast<std::uint32_t>(std::stoul(reply));
    }
    std::string end(std::uint32_t tx, bool commit = true) {
        return ack(call(abi::XS_TRANSACTION_END, nul({commit ? "T" : "F"}), tx));
    }

    /// Events since the last call, each as "path token".
    std::vector<std::string> events() {
        receive();
        std::vector<std::string> texts;
        std::erase_if(order, [&](const Message& message) {
            if (message.header.type != abi::XS_WATCH_EVENT)
                return false;
            const auto cut = message.payload.find('\0');
            texts.push_back(message.payload.substr(0, cut) + ' ' + std::string{message.payload.c_str() + cut + 1});
            return true;
        });
        return texts;
    }

    static std::string ack(std::string reply) { return reply == nul({"OK"}) ? "OK" : reply; }

    Connection connection;
    std::string stream;
    std::deque<Message> order; ///< received, not yet handed out
    std::uint32_t last_id = 100;
};

/// A store with a home for the guest: /local/domain/1 (n0,r1), and "own" below it which belongs to the guest.
struct World {
    explicit World(Quotas quotas = {}) : store{quotas}, client{store, guest} {
        (void)store.mkdir("/local/domain/1");
        (void)store.set_permissions("/local/domain/1", {{domain0, Access::None}, {guest, Access::Read}});
        (void)store.mkdir("/local/domain/1/own");
        (void)store.set_permissions("/local/domain/1/own", {{guest, Access::None}});
        store.introduce_domain(guest);
    }
    Store store;
    Client client;
};

} // namespace parapet::xenstore::test
