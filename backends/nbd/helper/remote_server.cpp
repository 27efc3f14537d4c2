// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/server.hpp"

namespace parapet::nbd {

namespace {

class RemoteServer final : public Server {
public:
    explicit RemoteServer(std::string uri) : uri_{std::move(uri)} {}
    Result<std::unique_ptr<Session>> connect() override { return Session::connect_uri(uri_); }
    std::string explain(const std::string& error) override {
        return "cannot use the NBD server of " + uri_ + " (" + error + "); check the URI, and that it runs";
    }

private:
    std::string uri_;
};

} // namespace

std::unique_ptr<Server> remote_server(const Settings& settings) {
    return std::make_unique<RemoteServer>(settings.uri);
}

} // namespace parapet::nbd
