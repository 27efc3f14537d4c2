// SPDX-License-Identifier: Apache-2.0
// Fuzz driver of the xenstore: the input is a program of raw bytes, well-formed requests, reads and host changes, run
// against one guest's connection. Bounds and the guest's confinement are checked after every step.
// Build with clang, -DPARAPET_FUZZ=ON, target xenstore_fuzz.
#include "iorings/xenstore/connection.hpp"
#include "iorings/xenstore/domain_tree.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

using namespace parapet::xenstore;

/// Hands out the input piece by piece; zeroes after its end.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_{reinterpret_cast<const char*>(data), size} {}
    [[nodiscard]] bool empty() const { return rest_.empty(); }
    unsigned byte() {
        if (rest_.empty())
            return 0;
        const auto value = static_cast<unsigned char>(rest_.front());
        rest_.remove_prefix(1);
        return value;
    }
    std::string_view bytes(std::size_t count) {
        const auto part = rest_.substr(0, count);
        rest_.remove_prefix(part.size());
        return part;
    }

private:
    std::string_view rest_;
};

std::string some_path(Input& input) {
    static constexpr std::array roots{"data",  "control/shutdown", "/local/domain/1/data", "/",
                                      "/tool", "@releaseDomain",   "/local/domain/0",      "attr"};
    std::string path = roots[input.byte() % roots.size()];
    for (unsigned depth = input.byte() % 4; depth > 0; --depth)
        path.append("/").append(1, static_cast<char>('a' + input.byte() % 4));
    return path;
}

std::string request(Input& input) {
    const std::uint32_t type = input.byte() % 24;
    std::string payload = some_path(input) + '\0';
    for (unsigned more = input.byte() % 3; more > 0; --more)
        payload.append(input.bytes(input.byte() % 16)).push_back('\0');
    if (type == parapet::abi::XS_TRANSACTION_END)
        payload.assign(input.byte() % 2 ? "T" : "F").push_back('\0');
    if (input.byte() % 8 == 0)
        payload.append(input.byte() * 16, 'x');
    const parapet::abi::xsd_sockmsg header{type, 1, input.byte() % 4, static_cast<std::uint32_t>(payload.size())};
    std::string bytes(sizeof header, '\0');
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes + payload;
}

void require(bool condition) {
    if (!condition)
        std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{data, size};
    Quotas quotas; // small, so that short inputs reach them
    quotas.nodes_per_domain = 60;
    quotas.watches_per_domain = 6;
    quotas.transactions = 3;
    quotas.nodes_per_transaction = 30;
    quotas.events_queued = 8;
    Store store{quotas};
    DomainTreeConfig config;
    config.name = "fuzz";
    config.uuid = "00000000-0000-0000-0000-000000000000";
    require(build_domain_tree(store, config).ok());
    Connection connection{store, DomId{1}};
    (void)store.watch("/local/domain/1", [&](const std::string& path) { (void)store.read(path); });

    while (!input.empty()) {
        const unsigned what = input.byte() % 8;
        if (what < 5) {
            const std::string bytes = what == 0 ? std::string{input.bytes(input.byte() % 40)} : request(input);
            std::string_view rest = bytes;
            while (!rest.empty()) {
                const auto part = rest.substr(0, 1 + input.byte());
                const auto taken = connection.feed(std::as_bytes(std::span{part.data(), part.size()}));
                if (taken == 0)
                    break;
                rest.remove_prefix(taken);
            }
        } else if (what == 5) {
            connection.consume_output(input.byte() * 4);
        } else if (what == 6) {
            const auto path = some_path(input);
            (void)(input.byte() % 3 ? store.write(path, "host") : store.rm("/local/domain/1/data/a"));
        } else if (connection.broken()) {
            connection.reset();
        }
        require(connection.queued_bytes() <= 20 * (4096 + 16) + quotas.event_bytes_queued + 6 * (4096 + 16));
        require(store.watches().count(connection) <= quotas.watches_per_domain);
    }
    require(store.read("/local/domain/1/name").ok() && *store.read("/local/domain/1/name") == "fuzz");
    return 0;
}
