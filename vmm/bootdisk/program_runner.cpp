// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/program_runner.hpp"

#include "vmm/bootdisk/confinement.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

constexpr char stop_word = 's';
constexpr int runner_ends = 0;

/// What stands before the argument in a message.
struct Head {
    std::uint64_t offset, length;
    char command;
};
constexpr std::size_t head_size = sizeof(Head);

struct Request {
    std::array<char, head_size + ProgramRunner::max_argument + 1> bytes{}; ///< Head, argument, NUL
    std::size_t length = 0; ///< without the NUL; 0: nobody is there any more
    UniqueFd output, complaints;
};

union Control {
    cmsghdr header;
    char bytes[CMSG_SPACE(2 * sizeof(int))];
};

/// Sends one descriptor; false if there is none.
bool hand_over(int socket, int fd) {
    Control control{};
    char nothing = 0;
    iovec data{&nothing, 1};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof fd);
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
    return fd >= 0 && sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

/// The descriptors that came with a message; others than two are closed.
void take_descriptors(msghdr& message, Request& request) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        std::array<int, 2> fds{-1, -1};
        std::memcpy(fds.data(), CMSG_DATA(part), std::min(part->cmsg_len - CMSG_LEN(0), sizeof fds));
        request.output = UniqueFd{fds[0]};
        request.complaints = UniqueFd{fds[1]};
    }
}

Request receive(int socket) {
    Request request;
    Control control{};
    iovec data{request.bytes.data(), request.bytes.size() - 1};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control;
    ssize_t length = 0;
    while ((length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
    }
    request.length = static_cast<std::size_t>(std::max<ssize_t>(length, 0));
    take_descriptors(message, request);
    return request;
}

/// In the child: becomes the program, or ends.
[[noreturn]] void become_program(const char* image, const Request& request, const char* no_path, int watcher) {
    static const char* const environment[] = {"LC_ALL=C", nullptr};
    Head head;
    std::memcpy(&head, request.bytes.data(), head_size);
    const bool list = head.command == static_cast<char>(ProgramRunner::Command::list);
    const std::string skip = "--skip=" + std::to_string(head.offset);
    const std::string take = "--length=" + std::to_string(head.length);
    const char* const arguments[] = {
        "grub-fstest", image, list ? "ls" : "cat", skip.c_str(), take.c_str(), "--", request.bytes.data() + head_size,
        nullptr};
    if (watcher >= 0 && !hand_over(watcher, watch_own_reads())) {
        _exit(ProgramRunner::not_watched);
    }
    if (dup2(request.output.get(), STDOUT_FILENO) >= 0 && dup2(request.complaints.get(), STDERR_FILENO) >= 0 &&
        confine_program()) {
        syscall(SYS_execveat, program_fd, no_path, arguments, environment, AT_EMPTY_PATH);
    }
    _exit(ProgramRunner::not_started);
}

/// The disk that is served, where it is, and the socket by which a reader says how its reads are watched.
struct Served {
    std::optional<ServedImage> image{};
    UniqueFd ours{}, readers{};
};

/// Until the child has ended; kills it when anything comes, or nobody is there. What it then says is its status.
int attend(pid_t child, int socket, Served& served) {
    const UniqueFd process{static_cast<int>(syscall(SYS_pidfd_open, child, 0))};
    UniqueFd listener;
    std::optional<ReadWatch> watch;
    pollfd watched[3] = {{process.get(), POLLIN, 0}, {socket, POLLIN, 0}, {served.ours.get(), POLLIN, 0}};
    // Without pidfds (before Linux 5.3) it is bounded by its limits alone.
    while (process.valid() && (poll(watched, 3, -1) >= 0 || errno == EINTR) && watched[0].revents == 0) {
        if (watched[1].revents != 0) {
            (void)receive(socket);
            syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
            break;
        }
        if (watch && (watched[2].revents & POLLIN) != 0) {
            watch->serve();
        } else if (watched[2].revents != 0 && !watch) {
            listener = std::move(receive(served.ours.get()).output);
            watch.emplace(listener.get(), *served.image);
            watched[2].fd = listener.get();
        } else if (watched[2].revents != 0) {
            watched[2].fd = -1; // nobody reads any more
        }
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

[[noreturn]] void serve(int socket, const std::string& image, const char* no_path, Served served) {
    for (;;) {
        const Request request = receive(socket);
        if (request.length == 0) {
            _exit(runner_ends);
        }
        if (request.length <= head_size || !request.output.valid() || !request.complaints.valid()) {
            continue; // a stop that came after the end
        }
        const pid_t child = fork();
        if (child == 0) {
            become_program(image.c_str(), request, no_path, served.readers.get());
        }
        const int status = child < 0 ? ProgramRunner::not_started : attend(child, socket, served);
        if (send(socket, &status, sizeof status, MSG_NOSIGNAL) != sizeof status) {
            _exit(runner_ends);
        }
    }
}

/// Before the runner is confined. Nothing: not to be had.
std::optional<Served> open_served(const ServedDisk& disk) {
    Served served;
    int ends[2];
    if (!disk.is_there()) {
        return served;
    }
    auto image = ServedImage::open(disk);
    if (!image || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return std::nullopt;
    }
    served.image = *std::move(image);
    served.ours = UniqueFd{ends[0]};
    served.readers = UniqueFd{ends[1]};
    return served;
}

void close_all_but(std::initializer_list<int> kept) {
    for (int fd = STDERR_FILENO + 1; fd < program_fd; fd++) {
        if (std::find(kept.begin(), kept.end(), fd) == kept.end()) {
            close(fd);
        }
    }
}

} // namespace

Result<ProgramRunner> ProgramRunner::start(const std::string& image, const ServedDisk& served) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return Error{std::string{"it cannot be read: "} + std::strerror(errno)};
    }
    UniqueFd ours{ends[0]};
    const UniqueFd theirs{ends[1]};
    const pid_t child = fork();
    if (child < 0) {
        return Error{std::string{"it cannot be read: "} + std::strerror(errno)};
    }
    if (child == 0) {
        (void)ours.release();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_all_but({theirs.get(), served.fds.socket, served.fds.memory, served.fds.file});
        auto disk = open_served(served);
        const auto no_path = confine_runner();
        if (!no_path || !disk) {
            _exit(runner_ends);
        }
        serve(theirs.get(), image, *no_path, *std::move(disk));
    }
    for (const int fd : {served.fds.socket, served.fds.memory, served.fds.file}) {
        close(fd);
    }
    close(program_fd);
    return ProgramRunner{std::move(ours)};
}

bool ProgramRunner::begin(const Question& question, int output, int complaints) const {
    if (question.argument.empty() || question.argument.size() > max_argument ||
        question.argument.find('\0') != std::string::npos) {
        return false;
    }
    const Head head{question.offset, question.length, static_cast<char>(question.command)};
    std::string text(head_size, '\0');
    std::memcpy(text.data(), &head, head_size);
    text += question.argument;
    Control control{};
    iovec data{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control;
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(2 * sizeof(int));
    const std::array fds{output, complaints};
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof fds);
    return sendmsg(socket_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

void ProgramRunner::stop() const {
    (void)!send(socket_.get(), &stop_word, 1, MSG_NOSIGNAL);
}

int ProgramRunner::wait() const {
    int status = -1;
    ssize_t length = 0;
    while ((length = recv(socket_.get(), &status, sizeof status, 0)) < 0 && errno == EINTR) {
    }
    return length == sizeof status ? status : -1;
}

} // namespace parapet::bootdisk
