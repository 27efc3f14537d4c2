// SPDX-License-Identifier: Apache-2.0
// A qemu-nbd of our own that serves one local image over one connection: it ends with the connection, so it ends with
// us however we do. A new connection is a new qemu-nbd, started when the old one is gone, so that two never write to
// one image. In order it ends by itself, having stored everything; it is killed only where a power cut is all the same.
#include "backends/nbd/helper/confine.hpp"
#include "backends/nbd/helper/private_socket.hpp"
#include "backends/nbd/helper/server.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace parapet::nbd {

namespace {

/// Can this file be opened past the page cache? Then qemu-nbd does, and its flush has only the disk's cache to see to.
bool direct_io(const std::string& image) {
    const UniqueFd probe{::open(image.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)};
    return probe.valid();
}

std::vector<std::string> command_line(const Settings& settings) {
    const bool direct = direct_io(settings.image);
    std::vector<std::string> words{"qemu-nbd",        "--format=" + settings.format,
                                   "--discard=unmap", direct ? "--cache=none" : "--cache=writeback",
                                   "--shared=1",      direct ? "--aio=native" : "--aio=threads"};
    if (settings.read_only) {
        words.emplace_back("--read-only");
    }
    words.push_back(settings.image); // absolute, so that it is neither an option nor a URI
    return words;
}

class QemuServer final : public Server {
public:
    explicit QemuServer(const Settings& settings) : settings_{settings} {}
    ~QemuServer() override {
        if (child_ > 0) {
            (void)::kill(child_, SIGKILL);
        }
    }
    Result<std::unique_ptr<Session>> connect() override;
    std::string explain(const std::string& error) override;
    [[nodiscard]] pollfd wish() const override { return {said_.get(), POLLIN, 0}; }
    void serve(short events) override {
        if (events != 0) {
            hear();
        }
    }
    bool ended() override {
        if (child_ > 0 && ::waitpid(child_, nullptr, WNOHANG) != 0) {
            child_ = -1;
        }
        return child_ <= 0;
    }

private:
    Result<void> start(UniqueFd listening);
    void hear();

    const Settings settings_;
    pid_t child_ = -1;
    UniqueFd said_; ///< its standard error
    std::string text_;
};

/// In the child, between fork and exec: descriptor 3 is the socket, as systemd hands it over (sd_listen_fds(3)).
[[noreturn]] void become_qemu(int listening, int said, pid_t parent, const std::string& folder, char* const* words) {
    // Not after us. (SIGTERM would not do: while it starts qemu-nbd overlooks that, and then waits for ever.)
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
        ::_exit(127);
    }
    const int nothing = ::open("/dev/null", O_RDWR);
    const int kept_listening = ::fcntl(listening, F_DUPFD, 10), kept_said = ::fcntl(said, F_DUPFD, 10);
    (void)::dup2(nothing, 0);
    (void)::dup2(nothing, 1);
    (void)::dup2(kept_said, 2);
    (void)::dup2(kept_listening, 3);
    (void)::close_range(4, ~0U, 0);
    confine_to_folder(folder.c_str());
    (void)::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1); // one thread here, so the heap is sound
    (void)::setenv("LISTEN_FDS", "1", 1);
    ::execvp(words[0], words);
    const char* const why = std::strerror(errno);
    (void)!::write(2, why, std::strlen(why));
    ::_exit(127);
}

Result<void> QemuServer::start(UniqueFd listening) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return Error{std::string{"cannot make a pipe ("} + std::strerror(errno) + ")"};
    }
    said_ = UniqueFd{ends[0]};
    const UniqueFd says{ends[1]};
    text_.clear();
    std::vector<std::string> words = command_line(settings_);
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    const pid_t us = ::getpid();
    child_ = ::fork();
    if (child_ == 0) {
        become_qemu(listening.get(), says.get(), us, settings_.image.substr(0, settings_.image.rfind('/') + 1),
                    pointers.data());
    }
    if (child_ < 0) {
        return Error{std::string{"cannot start qemu-nbd ("} + std::strerror(errno) + ")"};
    }
    return {};
}

Result<std::unique_ptr<Session>> QemuServer::connect() {
    if (!ended()) {
        (void)::kill(child_, SIGKILL); // it lost its connection and lingers; what was not flushed is written again
        return std::unique_ptr<Session>{};
    }
    auto socket = make_private_socket();
    if (!socket) {
        return socket.error();
    }
    if (auto started = start(std::move(socket->listening)); !started) {
        return started.error();
    }
    return Session::connect_socket(socket->connected.release());
}

void QemuServer::hear() {
    char piece[512];
    ssize_t length = 0;
    while ((length = ::read(said_.get(), piece, sizeof(piece))) > 0) {
        if (text_.size() < 4096) {
            text_.append(piece, static_cast<std::size_t>(length));
        }
    }
    if (length == 0) {
        said_ = UniqueFd{};
    }
}

std::string QemuServer::explain(const std::string& error) {
    for (int tenths = 0; tenths < 20 && !ended(); tenths++) { // it tells us before it goes
        (void)::poll(nullptr, 0, 100);
    }
    hear();
    if (text_.find("lock") != std::string::npos && text_.find("nother process") != std::string::npos) {
        return settings_.image + " is in use by another process; end that one first";
    }
    if (text_ == std::strerror(ENOENT)) {
        return "qemu-nbd, which serves " + settings_.format + " images, is not installed; apt install qemu-utils";
    }
    std::string why = text_.empty() ? error : text_.substr(0, text_.find('\n'));
    if (why.starts_with("qemu-nbd: ")) {
        why.erase(0, std::strlen("qemu-nbd: "));
    }
    return "cannot open the image (" + why + "); check its format (" + settings_.format + ") and your rights to it";
}

} // namespace

std::unique_ptr<Server> qemu_server(const Settings& settings) {
    return std::make_unique<QemuServer>(settings);
}

} // namespace parapet::nbd
