// SPDX-License-Identifier: Apache-2.0
#include "support/log_output.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace parapet {

namespace {

using Clock = std::chrono::steady_clock;

/// Writes some of `text`, however long that takes; false: it will never be taken.
bool write_some(int descriptor, std::string_view text, std::size_t& written) {
    for (;;) {
        const ssize_t count = ::write(descriptor, text.data(), text.size());
        if (count >= 0) {
            written = static_cast<std::size_t>(count);
            return true;
        }
        if (errno == EAGAIN) { // somebody who has it too made it so
            pollfd wait{descriptor, POLLOUT, 0};
            (void)::poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
}

} // namespace

struct LogOutput::State {
    State(int to, std::size_t size)
        : descriptor{to}, capacity{size}, bytes{std::make_unique_for_overwrite<char[]>(size)} {}

    const int descriptor;
    const std::size_t capacity;
    std::mutex mutex;
    std::condition_variable filled, emptied;

    // A ring: `used` bytes from `begin` on, which goes back to the start whenever it is empty.
    std::unique_ptr<char[]> bytes;
    std::size_t begin = 0, used = 0;
    std::uint64_t taken = 0;               ///< bytes, since ever: whether anybody reads
    std::optional<std::uint64_t> given_up; ///< what was taken when a flush ended in vain

    std::uint64_t lost_lines = 0;
    bool lost_part = false;    ///< of a line whose end was not seen yet
    bool at_line_start = true; ///< of what is in the queue
    bool broken = false;       ///< nothing will be taken any more
    bool has_thread = false, ended = false;
    bool resting = false; ///< the thread is to end when it has nothing to do
    bool writing = false; ///< somebody is in write_out(), and takes what comes meanwhile

    [[nodiscard]] bool has_lost() const { return lost_lines != 0 || lost_part; }
    [[nodiscard]] bool done() const { return broken || (used == 0 && !has_lost()); }

    void append(std::string_view text) {
        for (std::string_view rest = text; !rest.empty();) {
            const std::size_t end = (begin + used) % capacity;
            const std::size_t part = std::min(rest.size(), capacity - end);
            std::copy_n(rest.data(), part, &bytes[end]);
            used += part;
            rest.remove_prefix(part);
        }
        at_line_start = text.back() == '\n';
    }

    void lose(std::string_view text) {
        lost_lines += static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
        lost_part = text.back() != '\n';
    }

    std::string tell_lost() {
        const std::uint64_t lines = std::exchange(lost_lines, 0) + (std::exchange(lost_part, false) ? 1 : 0);
        return (at_line_start ? "" : "\n") + ("parapet: " + std::to_string(lines)) + (lines == 1 ? " line" : " lines") +
               " of this log were lost: nobody read it\n";
    }

    /// What goes out in one write: whole lines where there are any, so that others' do not come in between, and not
    /// more than a pipe takes at once.
    [[nodiscard]] std::string_view next() const {
        const std::string_view there{&bytes[begin], std::min({used, capacity - begin, std::size_t{PIPE_BUF}})};
        const std::size_t line = there.rfind('\n');
        return there.substr(0, line == std::string_view::npos ? there.size() : line + 1);
    }

    /// Until the queue is empty. Writers come in between.
    void write_out(std::unique_lock<std::mutex>& lock) {
        if (std::exchange(writing, true)) {
            return;
        }
        while (!done()) {
            if (used == 0) {
                append(tell_lost());
            }
            const std::string_view text = next(); // stays where it is while it counts as used
            std::size_t written = 0;
            lock.unlock();
            const bool good = write_some(descriptor, text, written);
            lock.lock();
            used -= written;
            taken += written;
            begin = used == 0 ? 0 : (begin + written) % capacity;
            if (!good) {
                broken = true;
                used = 0;
            }
            emptied.notify_all();
        }
        writing = false;
    }

    void run() {
        (void)::pthread_setname_np(::pthread_self(), "log");
        std::unique_lock lock{mutex};
        for (;;) {
            filled.wait(lock, [this] { return ended || resting || (!done() && !writing); });
            if (done()) {
                has_thread = false;
                emptied.notify_all();
                return;
            }
            write_out(lock);
        }
    }
};

LogOutput::LogOutput(int descriptor, std::size_t capacity) : state_{std::make_shared<State>(descriptor, capacity)} {}

LogOutput::~LogOutput() {
    const std::lock_guard lock{state_->mutex};
    state_->ended = true;
    state_->filled.notify_all();
}

void LogOutput::put(std::string_view text) {
    State& state = *state_;
    std::unique_lock lock{state.mutex};
    if (text.empty() || state.broken) {
        return;
    }
    constexpr std::size_t notice = 100; // what tell_lost() says
    const std::size_t room = state.capacity - state.used;
    // After a loss not before there is room for more than a line: or there would be a notice about each.
    if (text.size() > room || (state.has_lost() && (room < state.capacity / 2 || text.size() + notice > room))) {
        state.lose(text);
        return;
    }
    if (state.has_lost()) {
        state.append(state.tell_lost());
    }
    state.append(text);
    if (!state.has_thread && !state.writing) {
        try {
            std::thread{[kept = state_] { kept->run(); }}.detach();
            state.has_thread = true;
        } catch (const std::system_error&) {
            state.write_out(lock); // better late than never
            return;
        }
    }
    state.filled.notify_one();
}

bool LogOutput::flush(std::chrono::milliseconds patience) {
    State& state = *state_;
    std::unique_lock lock{state.mutex};
    const auto end = Clock::now() + 10 * patience;
    while (!state.done()) {
        const std::uint64_t before = state.taken;
        if (state.given_up == before) {
            return false;
        }
        if (!state.emptied.wait_for(lock, patience, [&] { return state.done() || state.taken != before; }) ||
            Clock::now() >= end) {
            state.given_up = state.taken;
            return state.done();
        }
    }
    return true;
}

bool LogOutput::rest(std::chrono::milliseconds patience) {
    State& state = *state_;
    std::unique_lock lock{state.mutex};
    state.resting = true;
    state.filled.notify_one();
    const bool rests = state.emptied.wait_for(lock, patience, [&] { return !state.has_thread; });
    state.resting = false;
    return rests;
}

LogOutput& LogOutput::standard_error() {
    // Never destroyed: threads may log until the process is gone.
    static LogOutput& output = [&]() -> LogOutput& {
        auto* const made = new LogOutput{STDERR_FILENO};
        (void)std::atexit([] { (void)standard_error().flush(); });
        return *made;
    }();
    return output;
}

} // namespace parapet
