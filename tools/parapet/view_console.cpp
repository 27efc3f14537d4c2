// SPDX-License-Identifier: Apache-2.0
// `parapet console NAME`: this terminal on a running domain's console.
#include "backends/console/terminal.hpp"
#include "tools/parapet/control_verbs.hpp"
#include "tools/parapet/exit_status.hpp"
#include "vmm/control/client.hpp"
#include "vmm/control/message.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <poll.h>
#include <unistd.h>

namespace parapet::cli {
namespace {

namespace control = vmm::control;
using console::Terminal;
using control::FrameKind;

bool write_all(std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
        if (count > 0) {
            text.remove_prefix(static_cast<std::size_t>(count));
        } else if (count < 0 && errno == EAGAIN) {
            pollfd state{STDOUT_FILENO, POLLOUT, 0}; // the terminal is shared with somebody who made it so
            (void)::poll(&state, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

class Viewer {
public:
    explicit Viewer(control::Client& client) : client_{client} {}

    /// Until the user leaves or the domain ends; the exit status.
    int run(bool history);
    /// What is to be said when the terminal is itself again.
    [[nodiscard]] const std::string& last_word() const { return last_word_; }

private:
    void take_input();
    void take_frames();
    void take_message(const std::string& text);
    void finish(int status, const std::string& word = {}) {
        status_ = status;
        last_word_ = word;
    }

    control::Client& client_;
    const bool is_terminal_ = ::isatty(STDIN_FILENO) == 1;
    bool input_ended_ = false;
    std::optional<int> status_;
    std::string last_word_;
};

/// Ctrl-] leaves, where it is typed. The end of a script is no reason to leave; that of a terminal is.
void Viewer::take_input() {
    std::array<char, 4096> bytes;
    const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        input_ended_ = true;
        if (is_terminal_) {
            finish(exit_powered_off);
        }
        return;
    }
    std::string_view typed{bytes.data(), static_cast<std::size_t>(count)};
    const std::size_t escape = is_terminal_ ? typed.find(Terminal::escape) : std::string_view::npos;
    typed = typed.substr(0, escape);
    // A guest that does not read makes this wait; what it says waits too, within the scroll-back.
    if (const auto sent = typed.empty() ? Result<void>{} : client_.send(FrameKind::console, typed); !sent) {
        finish(exit_failed, sent.error().message);
    }
    if (escape != std::string_view::npos) {
        finish(exit_powered_off);
    }
}

void Viewer::take_message(const std::string& text) {
    const auto message = control::parse_message(text);
    if (!message) {
        finish(exit_failed, message.error().message);
    } else if (const auto error = control::text_member(*message, "error")) {
        finish(exit_failed, *error);
    } else if (const auto how = control::text_member(*message, "ended")) {
        finish(exit_powered_off, "domain '" + client_.name() + "' ended: " + *how);
    } else if (control::flag_member(*message, "complete")) {
        finish(exit_powered_off);
    }
}

void Viewer::take_frames() {
    for (;;) {
        const auto frame = client_.receive(control::Client::Clock::duration::zero());
        if (!frame) {
            finish(exit_failed, frame.error().message);
            return;
        }
        if (!*frame) {
            return;
        }
        if ((*frame)->kind == FrameKind::message) {
            take_message((*frame)->payload);
        } else if (!write_all((*frame)->payload)) {
            finish(exit_failed, "standard output cannot be written");
        }
        if (status_) {
            return;
        }
    }
}

int Viewer::run(bool history) {
    input_ended_ = history;
    take_frames(); // what came with the reply to the request
    while (!status_) {
        std::array<pollfd, 2> waits{{{client_.socket(), POLLIN, 0}, {input_ended_ ? -1 : STDIN_FILENO, POLLIN, 0}}};
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) {
            finish(exit_failed, "waiting for input failed");
        }
        if (waits[1].revents != 0) {
            take_input();
        }
        if (waits[0].revents != 0 && !status_) {
            take_frames();
        }
    }
    return *status_;
}

} // namespace

int view_console(const ControlOptions& options) {
    auto client = control::Client::open(options.domain);
    if (!client) {
        return complain(client.error().message);
    }
    if (const auto reply = client->call({{"request", "console"}, {"follow", !options.history}}); !reply) {
        return complain(reply.error().message);
    }
    int status = exit_failed;
    Viewer viewer{*client};
    {
        std::optional<Terminal> terminal;
        if (!options.history && ::isatty(STDIN_FILENO) == 1) {
            std::fprintf(stderr, "parapet: console of domain '%s'; Ctrl-] leaves\n", options.domain.c_str());
            terminal.emplace(STDIN_FILENO);
        }
        status = viewer.run(options.history);
        if (terminal) {
            (void)write_all("\r\n");
        }
    }
    if (!viewer.last_word().empty()) {
        complain(viewer.last_word());
    }
    return status;
}

} // namespace parapet::cli
