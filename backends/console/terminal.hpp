// SPDX-License-Identifier: Apache-2.0
// Raw mode of the user's terminal while a console uses it, undone on every way out of the process that a process can
// see: destruction (also by an exception), exit(), quick_exit(), std::terminate and abort(), fatal faults, and
// SIGTERM, SIGINT, SIGHUP, SIGQUIT where the program has not taken them over itself.
#pragma once

namespace parapet::console {

class Terminal {
public:
    /// Ctrl-], as in telnet and `xl console`: leaves the console.
    static constexpr char escape = 0x1d;

    /// Makes `fd` raw when it is a terminal and no other Terminal is active; otherwise does nothing.
    explicit Terminal(int fd);
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    /// Whether this object holds a terminal in raw mode. Lines written to it meanwhile need "\r\n".
    [[nodiscard]] bool raw() const { return raw_; }

    /// Whether any terminal is raw at the moment.
    static bool any_raw();

private:
    bool owner_ = false; ///< This object filled the process's one slot.
    bool raw_ = false;
};

} // namespace parapet::console
