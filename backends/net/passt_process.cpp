// SPDX-License-Identifier: Apache-2.0
#include "backends/net/passt_process.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <spawn.h>
#include <sstream>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>

extern char** environ; // NOLINT(readability-redundant-declaration): POSIX has it declared by the user

namespace parapet::net {

namespace {

constexpr auto start_limit = std::chrono::seconds{10};

bool has_default_route() {
    std::ifstream ipv4{"/proc/net/route"};
    std::string line;
    while (std::getline(ipv4, line)) {
        std::istringstream fields{line};
        std::string interface, destination, gateway, flags, count, use, metric, mask;
        fields >> interface >> destination >> gateway >> flags >> count >> use >> metric >> mask;
        if (destination == "00000000" && mask == "00000000") {
            return true;
        }
    }
    std::ifstream ipv6{"/proc/net/ipv6_route"};
    while (std::getline(ipv6, line)) {
        if (line.starts_with("00000000000000000000000000000000 00 ") && !line.ends_with(" lo")) {
            return true;
        }
    }
    return false;
}

std::string port_text(const PortForward& forward) {
    return forward.host_address + '/' + std::to_string(forward.host_port) + ':' + std::to_string(forward.guest_port);
}

/// Starts passt in the background, with `socket` and its standard error in `errors`.
Result<pid_t> spawn(std::vector<std::string> arguments, int socket, int errors) {
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, errors, 2);
    posix_spawn_file_actions_adddup2(&actions, socket, 3);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A group of its own, so that Ctrl-C is not for it; no signal blocked that we may block.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    pid_t child = -1;
    const int error = ::posix_spawnp(&child, "passt", &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) {
        return Error{"the endpoint user needs passt, which is not installed; on Debian: apt-get install passt"};
    }
    if (error != 0) {
        return Error{std::string{"cannot start passt ("} + std::strerror(error) + "); try passt --version"};
    }
    return child;
}

/// What comes through `fd` until its end, or until the time is over.
std::string read_all(int fd, std::chrono::steady_clock::time_point until) {
    std::string text;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd wait{fd, POLLIN, 0};
        if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) {
            return text;
        }
        std::array<char, 1024> part{};
        const ssize_t got = ::read(fd, part.data(), part.size());
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return text;
        }
        text.append(part.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        text.erase(0, text.size() > 65536 ? text.size() - 65536 : 0);
    }
}

/// The exit status of the process that starts passt in the background: zero when it serves. Nothing: it hangs.
std::optional<int> wait_for(pid_t child, std::chrono::steady_clock::time_point until) {
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
        if (std::chrono::steady_clock::now() > until) {
            ::kill(child, SIGKILL);
            (void)::waitpid(child, &status, 0);
            return std::nullopt;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return status;
}

} // namespace

std::vector<std::string> passt_arguments(const VifSpec& spec, bool default_route) {
    std::vector<std::string> arguments{"passt", "--quiet", "--stderr", "--fd", "3"};
    const auto add = [&](std::initializer_list<const char*> more) {
        arguments.insert(arguments.end(), more.begin(), more.end());
    };
    if (!default_route) {
        add({"--interface", "lo", "--address", "10.0.2.15", "--netmask", "24", "--gateway", "10.0.2.2", "--mac-addr",
             "02:00:00:00:00:01", "--ipv4-only"});
    }
    if (spec.mtu) {
        add({"--mtu", std::to_string(*spec.mtu).c_str()});
    }
    bool tcp = false, udp = false;
    for (const PortForward& forward : spec.forwards) {
        (forward.udp ? udp : tcp) = true;
        add({forward.udp ? "--udp-ports" : "--tcp-ports", port_text(forward).c_str()});
    }
    if (!tcp) {
        add({"--tcp-ports", "none"});
    }
    if (!udp) {
        add({"--udp-ports", "none"}); // or it takes the numbers of the TCP ports
    }
    return arguments;
}

std::string passt_complaint(const std::string& output) {
    std::istringstream lines{output};
    std::string line, last;
    while (std::getline(lines, line)) {
        // Without a system log it complains of every line; as root it always says that it changes to nobody.
        if (!line.empty() && line.find("to syslog") == std::string::npos && !line.starts_with("Don't run as root")) {
            last = line;
        }
    }
    return last;
}

Result<UniqueFd> start_passt(const VifSpec& spec) {
    std::array<int, 2> pair{}, errors{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return Error{std::string{"cannot make a socket ("} + std::strerror(errno) + "); raise ulimit -n"};
    }
    UniqueFd ours{pair[0]}, theirs{pair[1]};
    if (::pipe2(errors.data(), O_CLOEXEC) != 0) {
        return Error{std::string{"cannot make a pipe ("} + std::strerror(errno) + "); raise ulimit -n"};
    }
    const UniqueFd read_end{errors[0]};
    UniqueFd write_end{errors[1]};
    // It lets go of standard error when it goes to the background, and of the socket only when it ends.
    if (theirs.get() == 3) { // dup2 onto itself would leave it closed on exec
        theirs = UniqueFd{::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 10)};
    }
    const auto until = std::chrono::steady_clock::now() + start_limit;
    const auto child = spawn(passt_arguments(spec, has_default_route()), theirs.get(), write_end.get());
    if (!child) {
        return child.error();
    }
    theirs = UniqueFd{};
    write_end = UniqueFd{};
    const std::string output = read_all(read_end.get(), until);
    const auto status = wait_for(*child, until);
    if (!status) {
        return Error{"passt does not come up within ten seconds; try 'passt --foreground --debug'"};
    }
    if (*status != 0) {
        std::string complaint = passt_complaint(output);
        const bool port = complaint.find("bind") != std::string::npos;
        return Error{"passt could not start: " + (complaint.empty() ? "it gave no reason" : complaint) +
                     (port ? "; the port is in use, or below 1024: give another one in forward="
                           : "; try 'passt --foreground'")};
    }
    return ours;
}

} // namespace parapet::net
