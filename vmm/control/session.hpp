// SPDX-License-Identifier: Apache-2.0
// One client's connection to a domain's control server. It never waits: what the client does not read stays in a
// bounded buffer, and a viewer of the console that is too slow loses bytes.
#pragma once

#include "backends/console/scroll_back.hpp"
#include "vmm/control/frame.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace parapet::vmm::control {

class Session : public std::enable_shared_from_this<Session> {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds patience{10}; ///< with a client that asks nothing, or takes no answer

    struct Owner {
        std::function<void(Session&, Frame)> on_request;
        std::function<std::size_t(std::span<const char>)> type; ///< console input; returns how many bytes were taken
        const console::ScrollBack* said = nullptr;
    };
    Session(UniqueFd socket, const Owner& owner);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Serves it on `io` until pause(). Between the two nothing is read or written.
    void resume(boost::asio::io_context& io);
    void pause();

    void reply(boost::json::object message);
    /// Replies with a sentence.
    void refuse(const std::string& sentence);
    /// As refuse(), and closes when that is sent.
    void dismiss(const std::string& sentence);

    /// From now on it gets what the console says, and its console frames are typed.
    void view(bool follow);
    /// The console said more.
    void said_more() { flush(); }
    /// It waits for something that may take long, on purpose.
    void set_patient(bool patient);

    /// Input that the guest did not take at once is tried again, and a client that is too slow or gone is closed.
    void tick();
    /// Again and again: sends what fits of what there is and of `last`, which follows it. Pauses it. True: all is sent,
    /// or the client has gone.
    [[nodiscard]] bool part(const boost::json::object& last);

    [[nodiscard]] int socket() const { return socket_.get(); }
    [[nodiscard]] bool closed() const { return closed_; }
    [[nodiscard]] bool viewing() const { return viewing_; }
    [[nodiscard]] bool input_waits() const { return !input_.empty(); }

private:
    void wait_readable();
    void wait_writable();
    void read_some();
    void take_frames();
    void type_input();
    void flush();
    bool refill();
    void close();
    void touch() { active_ = Clock::now(); }

    UniqueFd socket_;
    Owner owner_;
    std::optional<boost::asio::posix::stream_descriptor> waits_; ///< borrows socket_
    FrameReader reader_;
    std::string output_; ///< frames to be sent
    std::string input_;  ///< typed bytes that the guest has not taken; nothing is read meanwhile
    std::uint64_t seen_ = 0;
    std::uint64_t view_end_ = 0; ///< of a viewer that does not follow
    bool viewing_ = false, follow_ = false, patient_ = false;
    bool reading_ = false, writing_ = false;
    bool dismissed_ = false, parting_ = false, closed_ = false;
    Clock::time_point active_ = Clock::now();
};

} // namespace parapet::vmm::control
