// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/background.hpp"

#include "tools/parapet/exit_status.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace parapet::cli {
namespace {

std::string read_all(int fd) {
    std::string text;
    std::array<char, 512> bytes;
    for (;;) {
        const ssize_t count = ::read(fd, bytes.data(), bytes.size());
        if (count > 0) {
            text.append(bytes.data(), static_cast<std::size_t>(count));
        } else if (count == 0 || errno != EINTR) {
            return text;
        }
    }
}

/// The first process: waits for what the domain's process says.
int wait_for_domain(int report) {
    std::istringstream words{read_all(report)};
    std::string what;
    words >> what;
    if (what == "R") {
        std::string name;
        words >> name;
        return std::printf("%s\n", name.c_str()) > 0 && std::fflush(stdout) == 0 ? exit_powered_off : exit_failed;
    }
    int status = exit_failed;
    std::string log;
    if (what != "X" || !(words >> status)) {
        std::fputs("parapet: the domain's process was ended before its guest ran\n", stderr);
        return exit_failed;
    }
    if (std::getline(words >> std::ws, log) && !log.empty()) {
        const int fd = ::open(log.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            const UniqueFd owned{fd};
            std::fputs(read_all(fd).c_str(), stderr);
            ::unlink(log.c_str());
        }
    }
    return status;
}

void replace(int fd, int how) {
    const int null = ::open("/dev/null", how | O_CLOEXEC);
    if (null >= 0) {
        ::dup2(null, fd);
        ::close(null);
    }
}

Error no_process() {
    return Error{std::string{"no process can be started for the background: "} + std::strerror(errno)};
}

} // namespace

Result<Background::Outcome> Background::split() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return no_process();
    }
    UniqueFd read_end{ends[0]};
    UniqueFd write_end{ends[1]};
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child < 0) {
        return no_process();
    }
    if (child > 0) {
        ::close(write_end.release());
        int ignored = 0;
        while (::waitpid(child, &ignored, 0) < 0 && errno == EINTR) {
        }
        return Outcome{wait_for_domain(read_end.get()), {}};
    }
    ::setsid();
    const pid_t second = ::fork(); // no leader of the session: no terminal will become its own
    if (second != 0) {
        ::_exit(0); // a failure shows as the end of the pipe
    }
    replace(STDIN_FILENO, O_RDONLY);
    replace(STDOUT_FILENO, O_WRONLY);
    return Outcome{std::nullopt, std::move(write_end)};
}

void Background::use_log(int log, const std::string& log_path) {
    log_path_ = log_path;
    ::dup2(log, STDERR_FILENO);
}

void Background::leave_folder() {
    (void)!::chdir("/");
}

void Background::running(const std::string& name) {
    tell("R " + name);
}

void Background::ended(int status) {
    tell("X " + std::to_string(status) + " " + log_path_);
}

/// Once.
void Background::tell(const std::string& text) {
    if (report_.valid()) {
        (void)!::write(report_.get(), text.data(), text.size());
        const UniqueFd closed = std::move(report_);
    }
}

} // namespace parapet::cli
