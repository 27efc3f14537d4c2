// SPDX-License-Identifier: Apache-2.0
// Serves a domain's control socket on its control thread (docs/control.md). It and its clients live over the guest's
// reboots: serve() lends it the io_context of one life of the domain, and what is asked between two lives waits in the
// sockets.
#pragma once

#include "backends/console/scroll_back.hpp"
#include "vmm/control/domain_life.hpp"
#include "vmm/control/session.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace parapet::vmm::control {

class ControlServer {
public:
    static constexpr std::size_t most_clients = 32;

    /// `listener`: a listening, non-blocking socket that outlives the server.
    ControlServer(int listener, std::string name);
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

    /// As long as this object lives, requests are served on `io` and by `life`; both outlive it.
    class [[nodiscard]] Serving {
    public:
        Serving(ControlServer* server, boost::asio::io_context& io, DomainLife& life) : server_{server} {
            if (server_ != nullptr) {
                server_->begin(io, life);
            }
        }
        ~Serving() {
            if (server_ != nullptr) {
                server_->end();
            }
        }
        Serving(const Serving&) = delete;
        Serving& operator=(const Serving&) = delete;

    private:
        ControlServer* server_;
    };

    /// What the guest's console says, in order, also when nobody is served.
    void console_said(std::string_view text);
    /// The domain is over: tells all clients `how` ("powered-off", ...) and lets them go, within two seconds.
    void farewell(const std::string& how, const std::string& message);

private:
    void begin(boost::asio::io_context& io, DomainLife& life);
    void end();
    void wait_for_clients();
    [[nodiscard]] bool may_command(int socket) const;
    void accept_some();
    void wait_for_tick();
    void tick();
    void serve(Session& session, Frame frame);
    void answer(Session& session, const std::string& request, const boost::json::object& message,
                std::vector<UniqueFd> descriptors);
    [[nodiscard]] boost::json::object info() const;
    void shut_down(Session& session, const std::string& how);
    void set_memory(Session& session, const boost::json::object& message);
    void attach(Session& session, const boost::json::object& message, std::vector<UniqueFd> descriptors);
    void detach(Session& session, const boost::json::object& message);

    /// A detach that the guest has not answered yet.
    struct Detaching {
        explicit Detaching(std::weak_ptr<Session> who) : session{std::move(who)} {}
        std::weak_ptr<Session> session;
        bool over = false;
        void finish(const Result<void>& done);
    };

    int listener_;
    std::string name_;
    uid_t own_user_; ///< the sandbox forbids to ask later
    console::ScrollBack said_;
    std::list<std::shared_ptr<Session>> sessions_;
    boost::asio::io_context* io_ = nullptr;
    DomainLife* life_ = nullptr;
    std::optional<boost::asio::posix::stream_descriptor> listening_; ///< borrows listener_
    std::optional<boost::asio::steady_timer> timer_;
    bool out_of_descriptors_ = false; ///< new clients wait until the next tick
    std::vector<std::shared_ptr<Detaching>> detaching_;
    std::shared_ptr<int> life_token_; ///< late completions of a former life find it gone
};

} // namespace parapet::vmm::control
