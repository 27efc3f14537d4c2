// SPDX-License-Identifier: Apache-2.0
// Serves one request of a connection: payload in, reply payload or error out. Internal to the connection.
#pragma once

#include "iorings/xenstore/connection.hpp"

namespace parapet::xenstore {

class RequestHandler {
public:
    RequestHandler(Connection& connection, const abi::xsd_sockmsg& header, std::string_view payload)
        : connection_{connection}, store_{connection.store_}, header_{header}, payload_{payload} {}

    /// The reply's payload. Events that the request causes are queued meanwhile.
    [[nodiscard]] Outcome<std::string> run();

private:
    using Reply = Outcome<std::string>;
    struct Entry {
        std::uint32_t op;
        Reply (RequestHandler::*serve)();
        bool takes_transaction;
    };
    static const Entry table[];

    Reply directory();
    Reply directory_part();
    Reply read();
    Reply write();
    Reply mkdir();
    Reply rm();
    Reply get_perms();
    Reply set_perms();
    Reply watch();
    Reply unwatch();
    Reply reset_watches();
    Reply transaction_start();
    Reply transaction_end();
    Reply get_domain_path();
    Reply is_domain_introduced();
    Reply privileged();

    /// The payload's NUL-terminated strings, at most `limit`; what follows is ignored, as reserved.
    [[nodiscard]] std::vector<std::string_view> strings(std::size_t limit) const;
    /// The payload as exactly one string.
    [[nodiscard]] Outcome<std::string_view> only_string() const;

    Connection& connection_;
    Store& store_;
    abi::xsd_sockmsg header_;
    std::string_view payload_;
    Caller caller_{};
};

} // namespace parapet::xenstore
