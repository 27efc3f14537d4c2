// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/spawn.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace parapet::nbd {

namespace {

constexpr int first_word_ms = 40000; // the helper gives up sooner, with a reason

Error cannot_start(const std::string& what) {
    return Error{"cannot start the NBD helper: " + what + " (" + std::strerror(errno) + ")"};
}

std::string helper_path() {
    if (const char* named = std::getenv("PARAPET_NBD"); named != nullptr && *named != 0) {
        return named;
    }
    std::array<char, PATH_MAX> self{};
    const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size() - 1);
    const std::string path{self.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
    return path.substr(0, path.rfind('/') + 1) + "parapet-nbd";
}

Result<UniqueFd> shared_memory() {
    UniqueFd memory{::memfd_create("parapet-nbd", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    // Sealed, so that the helper cannot cut it short under our feet.
    if (!memory.valid() || ::ftruncate(memory.get(), memory_bytes) != 0 ||
        ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return cannot_start("no shared memory");
    }
    return memory;
}

/// xl says vhd, qemu says vpc.
std::string qemu_format(const std::string& format) {
    return format == "vhd" ? "vpc" : format;
}

Result<std::vector<std::string>> command_line(const NbdOptions& options) {
    std::vector<std::string> words{helper_path(), "--patience-ms", std::to_string(options.patience.count())};
    if (options.uri.empty()) {
        char* const absolute = ::realpath(options.image.c_str(), nullptr);
        if (absolute == nullptr) {
            return Error{"cannot open " + options.image + " (" + std::strerror(errno) + ")"};
        }
        words.insert(words.end(), {"--image", absolute, "--format", qemu_format(options.format)});
        std::free(absolute);
    } else {
        words.insert(words.end(), {"--uri", options.uri});
    }
    if (options.read_only) {
        words.emplace_back("--read-only");
    }
    return words;
}

/// In the helper's process to be, which has one thread and the heap as it was: descriptors, then exec.
[[noreturn]] void become_helper(int socket, int memory, const Hello& not_found, char* const* words) {
    const int kept_socket = ::fcntl(socket, F_DUPFD, 10), kept_memory = ::fcntl(memory, F_DUPFD, 10);
    const int nothing = ::open("/dev/null", O_RDWR);
    for (const int standard : {0, 1, 2}) { // none of the terminal's: who waits for our output's end would wait for it
        (void)::dup2(nothing, standard);
    }
    (void)::dup2(kept_socket, helper_socket_fd);
    (void)::dup2(kept_memory, helper_memory_fd);
    (void)::close_range(helper_memory_fd + 1, ~0U, 0);
    sigset_t none;
    (void)::sigemptyset(&none);
    (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(words[0], words);
    (void)!::write(helper_socket_fd, &not_found, sizeof(not_found));
    ::_exit(127);
}

/// Through a child that ends at once, so that the helper is nobody's to wait for.
Result<void> fork_twice(int socket, int memory, std::vector<std::string> words) {
    Hello not_found;
    not_found.failed = 1;
    const std::string sentence =
        "cannot start the NBD helper " + words[0] + "; install it beside parapet, or name it in PARAPET_NBD";
    std::memcpy(not_found.error.data(), sentence.data(), std::min(sentence.size(), not_found.error.size() - 1));
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);

    const pid_t child = ::fork();
    if (child == 0) {
        (void)::setsid();
        const pid_t helper = ::fork();
        if (helper == 0) {
            become_helper(socket, memory, not_found, pointers.data());
        }
        ::_exit(helper < 0 ? 1 : 0);
    }
    if (child < 0) {
        return cannot_start("no new process");
    }
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return {};
}

/// The helper's text may hold what a stranger's server said.
std::string printable(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; }, ' ');
    return text;
}

Result<Hello> first_word(int socket, const std::string& name) {
    pollfd watched{socket, POLLIN, 0};
    int ready = 0;
    while ((ready = ::poll(&watched, 1, first_word_ms)) < 0 && errno == EINTR) {
    }
    Hello hello;
    const ssize_t got = ready > 0 ? ::recv(socket, &hello, sizeof(hello), MSG_DONTWAIT) : -1;
    if (got != sizeof(hello) || hello.header.kind != Kind::hello) {
        return Error{name + ": the NBD helper " + (ready > 0 ? "ended without a word" : "does not answer")};
    }
    hello.error.back() = 0;
    if (hello.failed != 0) {
        return Error{printable(hello.error.data())};
    }
    return hello;
}

} // namespace

Result<Connection> start_helper(const NbdOptions& options) {
    auto words = command_line(options);
    if (!words) {
        return words.error();
    }
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return cannot_start("no socket pair");
    }
    UniqueFd ours{ends[0]}, theirs{ends[1]};
    auto memory = shared_memory();
    if (!memory) {
        return memory.error();
    }
    if (auto started = fork_twice(theirs.get(), memory->get(), *std::move(words)); !started) {
        return started.error();
    }
    theirs = UniqueFd{}; // from here on the socket ends with the helper
    auto hello = first_word(ours.get(), options.uri.empty() ? options.image : options.uri);
    if (!hello) {
        return hello.error();
    }
    return Connection{std::move(ours), *std::move(memory), *hello};
}

} // namespace parapet::nbd
