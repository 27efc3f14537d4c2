// SPDX-License-Identifier: Apache-2.0
// One connection to an NBD server, by libnbd, without ever blocking (but for a name look-up).
#pragma once

#include "backends/nbd/protocol.hpp"
#include "support/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <poll.h>
#include <string>
#include <vector>

struct nbd_handle;

namespace parapet::nbd {

/// What the server says of the export.
struct Facts {
    std::uint64_t bytes = 0;
    bool read_only = false, flush = false, fua = false, trim = false, zero = false;
    std::uint32_t least_block = 1, preferred_block = 0, most_data = 0;

    /// Can it stand in for `before`, whose geometry the guest knows?
    [[nodiscard]] bool can_replace(const Facts& before) const;
};

/// An operation under way. Stays where it is until done() is called or the session is gone.
class Command {
public:
    Op op = Op::read;
    bool fua = false;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::byte* data = nullptr; ///< read, write

    /// `error`: 0 or an errno; ENOTCONN: the connection was lost, ESHUTDOWN: the server is about to end.
    virtual void done(int error) = 0;

protected:
    ~Command() = default;
};

class Session {
public:
    static Result<std::unique_ptr<Session>> connect_uri(const std::string& uri);
    /// `socket`: connected, and the session's from now on.
    static Result<std::unique_ptr<Session>> connect_socket(int socket);
    ~Session(); ///< forgets the commands that are under way
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    [[nodiscard]] bool ready() const;
    [[nodiscard]] bool dead() const;
    [[nodiscard]] Facts facts() const;
    /// Why it is dead, in libnbd's words.
    [[nodiscard]] const std::string& error() const { return error_; }

    /// Sends it, when the socket lets it. Precondition: ready() once. done() is called by deliver(), never from here.
    void issue(Command& command);

    [[nodiscard]] pollfd wish() const;
    void serve(short events);
    /// Calls done() of what has ended.
    void deliver();
    /// Is there anything to deliver?
    [[nodiscard]] bool has_ended() const { return !ended_.empty(); }
    /// Tells the server that we leave.
    void disconnect();

private:
    explicit Session(nbd_handle* handle) : handle_{handle} {}
    struct Flying {
        Session* session;
        Command* command;
    };
    static int completed(void* flying, int* error);
    static void released(void* flying);
    void remember_error();

    nbd_handle* handle_;
    std::string error_;
    bool tuned_ = false;
    struct Ended {
        Command* command;
        int error;
    };
    std::vector<Ended> ended_;
};

} // namespace parapet::nbd
