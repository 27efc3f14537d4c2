// SPDX-License-Identifier: Apache-2.0
// The console's pumps. Handlers hold a weak reference, so that a destroyed backend's late completions do nothing.
#include "backends/console/console_backend.hpp"

#include "backends/console/byte_queue.hpp"
#include "backends/console/terminal.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <utility>

namespace parapet::console {

namespace asio = boost::asio;
using Wait = asio::posix::stream_descriptor::wait_type;

namespace {

/// A reader that goes away is an error of write(), not the end of the process.
void ignore_sigpipe() {
    struct sigaction now {};
    if (sigaction(SIGPIPE, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &now, nullptr);
    }
}

} // namespace

class ConsoleBackend::Impl : public std::enable_shared_from_this<Impl> {
public:
    Impl(asio::io_context& io, ConsoleRing ring, std::shared_ptr<ConsoleStreams> streams, ConsoleHooks hooks)
        : io_{io}, ring_{ring}, streams_{std::move(streams)}, hooks_{std::move(hooks)}, in_wait_{io}, out_wait_{io} {}

    ~Impl() { stop(); }

    void start();
    void pump();
    std::size_t type(std::span<const char> bytes);
    bool finish(std::chrono::milliseconds limit);
    void stop();
    [[nodiscard]] bool closed() const { return closed_; }

private:
    [[nodiscard]] bool discards() const { return closed_ || !streams_->out.valid(); }
    bool pump_output(std::size_t budget);
    bool pump_input();
    void flush();
    void wait_writable();
    void watch_sink();
    void wait_readable();
    void read_some();
    void accept_input(std::span<const char> bytes);
    void close_console(const std::string& reason);
    void close_sink(int error);
    void report_broken(std::string_view direction);
    void end_input();
    void release_sink();

    /// Runs `what` when `descriptor` is ready, unless the backend has gone or stopped by then.
    template <typename Function>
    void when(asio::posix::stream_descriptor& descriptor, Wait wait, Function what) {
        descriptor.async_wait(wait, [weak = weak_from_this(), what](const boost::system::error_code& error) {
            const auto self = weak.lock();
            if (self && !self->stopped_ && !error) {
                what(*self);
            }
        });
    }
    template <typename Function>
    void later(Function what) {
        asio::post(io_, [weak = weak_from_this(), what] {
            const auto self = weak.lock();
            if (self && !self->stopped_) {
                what(*self);
            }
        });
    }

    asio::io_context& io_;
    ConsoleRing ring_;
    std::shared_ptr<ConsoleStreams> streams_;
    ConsoleHooks hooks_;
    asio::posix::stream_descriptor in_wait_;  ///< Borrows streams_->in.
    asio::posix::stream_descriptor out_wait_; ///< Borrows streams_->out.
    ByteQueue output_{queue_size};
    ByteQueue input_{queue_size};
    bool stopped_ = false;
    bool closed_ = false;
    bool input_ended_ = true;
    bool reading_ = false;
    bool writing_ = false;
    bool broken_reported_ = false;
    bool again_due_ = false;
};

void ConsoleBackend::Impl::start() {
    ignore_sigpipe();
    if (streams_->out.valid() && streams_->out.pollable()) {
        out_wait_.assign(streams_->out.get());
        watch_sink();
    }
    if (streams_->in.valid()) {
        input_ended_ = false;
        if (streams_->in.pollable()) {
            in_wait_.assign(streams_->in.get());
        }
        wait_readable();
    }
}

void ConsoleBackend::Impl::stop() {
    stopped_ = true;
    end_input();
    release_sink();
}

void ConsoleBackend::Impl::end_input() {
    input_ended_ = true;
    if (in_wait_.is_open()) {
        in_wait_.release();
    }
}

void ConsoleBackend::Impl::release_sink() {
    if (out_wait_.is_open()) {
        out_wait_.release();
    }
}

void ConsoleBackend::Impl::pump() {
    if (stopped_) {
        return;
    }
    const bool output = pump_output(queue_size);
    const bool input = pump_input();
    if ((output || input) && hooks_.notify_guest) {
        hooks_.notify_guest();
    }
}

/// Takes at most `budget` bytes, so that a guest that never stops writing leaves time for others on this thread.
bool ConsoleBackend::Impl::pump_output(std::size_t budget) {
    bool notify = false;
    while (budget != 0) {
        auto room = output_.room();
        if (room.empty()) {
            flush();
            room = output_.room();
        }
        room = room.first(std::min(room.size(), budget));
        if (room.empty()) {
            return notify; // the sink is slow: what the guest writes stays in its ring until the sink is ready
        }
        const RingMove move = ring_.take_output(room);
        notify = notify || move.notify;
        if (move.broken) {
            report_broken("output");
            break;
        }
        if (move.bytes == 0) {
            break;
        }
        if (hooks_.on_output) {
            hooks_.on_output({room.data(), move.bytes});
        }
        output_.commit(move.bytes);
        budget -= move.bytes;
    }
    flush();
    // One at a time: a guest that never stops writing, and signals, must not add to the queue.
    if (budget == 0 && !stopped_ && !std::exchange(again_due_, true)) {
        later([](Impl& self) {
            self.again_due_ = false;
            self.pump();
        });
    }
    return notify;
}

void ConsoleBackend::Impl::flush() {
    while (!output_.empty()) {
        if (discards()) {
            output_.clear();
            return;
        }
        if (writing_) {
            return;
        }
        const auto bytes = output_.data();
        const ssize_t count = write(streams_->out.get(), bytes.data(), bytes.size());
        if (count >= 0) {
            output_.consume(static_cast<std::size_t>(count));
        } else if (errno == EAGAIN) {
            wait_writable();
            return;
        } else if (errno != EINTR) {
            close_sink(errno);
        }
    }
}

void ConsoleBackend::Impl::wait_writable() {
    if (!out_wait_.is_open()) {
        return;
    }
    writing_ = true;
    when(out_wait_, Wait::wait_write, [](Impl& self) {
        self.writing_ = false;
        self.flush();
        self.pump();
    });
}

/// Notices a sink that goes away while the guest is silent.
void ConsoleBackend::Impl::watch_sink() {
    when(out_wait_, Wait::wait_error, [](Impl& self) {
        pollfd state{.fd = self.streams_->out.get(), .events = 0, .revents = 0};
        if (poll(&state, 1, 0) == 1 && (state.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
            self.close_sink(EPIPE);
        } else if (!self.closed_) {
            self.watch_sink();
        }
    });
}

void ConsoleBackend::Impl::wait_readable() {
    if (reading_ || input_ended_ || stopped_ || (!streams_->in_is_tty && input_.room().empty())) {
        return;
    }
    reading_ = true;
    const auto ready = [](Impl& self) {
        self.reading_ = false;
        if (!self.input_ended_) {
            self.read_some();
        }
    };
    if (in_wait_.is_open()) {
        when(in_wait_, Wait::wait_read, ready);
    } else {
        later(ready); // a file: always ready
    }
}

void ConsoleBackend::Impl::read_some() {
    std::array<char, 4096> bytes;
    const std::size_t room = streams_->in_is_tty ? bytes.size() : std::min(bytes.size(), input_.room().size());
    const ssize_t count = read(streams_->in.get(), bytes.data(), room);
    if (count > 0) {
        accept_input({bytes.data(), static_cast<std::size_t>(count)});
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_input(); // the end of a script is no reason to stop the guest; that of a terminal is
        if (streams_->in_is_tty) {
            close_console("the terminal was closed");
        }
    }
    wait_readable();
}

void ConsoleBackend::Impl::accept_input(std::span<const char> bytes) {
    if (streams_->in_is_tty) {
        const auto escape = std::find(bytes.begin(), bytes.end(), Terminal::escape);
        if (escape != bytes.end()) {
            bytes = bytes.first(static_cast<std::size_t>(escape - bytes.begin()));
            if (hooks_.on_escape) {
                later([](Impl& self) { self.hooks_.on_escape(); });
            }
        }
    }
    (void)type(bytes);
}

std::size_t ConsoleBackend::Impl::type(std::span<const char> bytes) {
    if (stopped_) {
        return 0;
    }
    const auto room = input_.room();
    const std::size_t count = std::min(room.size(), bytes.size());
    std::copy_n(bytes.begin(), count, room.begin());
    input_.commit(count);
    if (pump_input() && hooks_.notify_guest) {
        hooks_.notify_guest();
    }
    return count;
}

bool ConsoleBackend::Impl::pump_input() {
    if (input_.empty()) {
        return false;
    }
    const RingMove move = ring_.put_input(input_.data());
    if (move.broken) {
        report_broken("input");
    }
    input_.consume(move.bytes);
    wait_readable();
    return move.notify;
}

void ConsoleBackend::Impl::close_sink(int error) {
    const bool reader_gone = error == EPIPE || error == EIO;
    close_console("the console's output " + streams_->out_name +
                  (reader_gone ? std::string{" was closed by its reader"}
                               : std::string{" cannot be written: "} + std::strerror(error)));
}

void ConsoleBackend::Impl::close_console(const std::string& reason) {
    if (closed_) {
        return;
    }
    closed_ = true;
    output_.clear();
    writing_ = false;
    release_sink();
    if (hooks_.on_closed) {
        hooks_.on_closed(reason);
    }
    later([](Impl& self) { self.pump(); }); // the ring may be full, and the guest waiting for room
}

void ConsoleBackend::Impl::report_broken(std::string_view direction) {
    if (!broken_reported_ && hooks_.log) {
        hooks_.log("the guest put an impossible index into its console's " + std::string{direction} +
                   " ring; bytes of it are lost");
    }
    broken_reported_ = true;
}

bool ConsoleBackend::Impl::finish(std::chrono::milliseconds limit) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + limit;
    end_input();
    release_sink(); // from here on we wait by poll()
    writing_ = false;
    for (;;) {
        pump_output(queue_size);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        if (output_.empty() || left.count() <= 0) {
            break;
        }
        pollfd state{.fd = streams_->out.get(), .events = POLLOUT, .revents = 0};
        poll(&state, 1, static_cast<int>(left.count()));
    }
    const bool all = output_.empty() && !closed_;
    stop();
    return all;
}

ConsoleBackend::ConsoleBackend(asio::io_context& io, ConsoleRing ring, std::shared_ptr<ConsoleStreams> streams,
                               ConsoleHooks hooks)
    : impl_{std::make_shared<Impl>(io, ring, std::move(streams), std::move(hooks))} {}

ConsoleBackend::~ConsoleBackend() {
    impl_->stop();
}

void ConsoleBackend::start() {
    impl_->start();
}

void ConsoleBackend::on_guest_kick() {
    impl_->pump();
}

std::size_t ConsoleBackend::type(std::span<const char> bytes) {
    return impl_->type(bytes);
}

bool ConsoleBackend::finish(std::chrono::milliseconds limit) {
    return impl_->finish(limit);
}

bool ConsoleBackend::closed() const {
    return impl_->closed();
}

} // namespace parapet::console
