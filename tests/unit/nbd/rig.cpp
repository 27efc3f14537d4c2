// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/nbd/rig.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <netinet/in.h>
#include <random>
#include <sstream>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace nbd_test {

Bytes pattern(std::size_t length, std::uint64_t seed) {
    std::mt19937 generator{static_cast<std::uint32_t>(seed)};
    Bytes bytes(length);
    for (std::byte& byte : bytes) {
        byte = static_cast<std::byte>(generator());
    }
    return bytes;
}

Request::Request(Operation what, std::uint64_t where, Bytes bytes, std::uint64_t count, bool durable)
    : data{std::move(bytes)} {
    operation = what;
    offset = where;
    length = data.empty() ? count : data.size();
    fua = durable;
    // As a ring's request: several pieces, each a multiple of 512, of different sizes.
    for (std::size_t at = 0, step = 512; at < data.size(); at += step, step = step % 4096 + 512) {
        pieces.push_back({data.data() + at, std::min(step, data.size() - at)});
    }
    segments = pieces;
}

Disk::Disk(std::unique_ptr<disk::TargetSource> opened) : source_{std::move(opened)} {
    auto made = io::IoThread::create(256);
    EXPECT_TRUE(made.ok()) << made.error().message;
    io_ = *std::move(made);
    io::IoThread::Life life;
    life.doorbell = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    life.interrupt = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    io_->begin(std::move(life));
    target_ = source_->make_target(*io_);
}

void Disk::close() {
    target_.reset();
    source_.reset();
}

void Disk::close(boost::asio::io_context& control, std::function<void()> done) {
    target_.reset();
    source_->close(control, std::move(done));
}

Disk::~Disk() {
    close();
    (void)::poll(nullptr, 0, 20); // the thread sees the helper's end
    io_->end();
}

void Disk::submit(Request& request) {
    io_->call([&] { target_->submit(request); });
}

void Disk::abandon() {
    io_->call([&] { target_->abandon(); });
}

int Disk::run(Request& request, std::chrono::seconds limit) {
    submit(request);
    if (request.result.wait_for(limit) != std::future_status::ready) {
        ADD_FAILURE() << "no answer";
        std::abort(); // the request is still in use
    }
    return request.result.get();
}

int Disk::write(std::uint64_t where, Bytes data, bool durable) {
    Request request{Operation::write, where, std::move(data), 0, durable};
    return run(request);
}

Bytes Disk::read(std::uint64_t where, std::size_t length) {
    Request request{Operation::read, where, Bytes(length, std::byte{0xee})};
    return run(request) == 0 ? request.data : Bytes{};
}

int Disk::flush() {
    Request request{Operation::flush, 0, {}};
    return run(request);
}

Program::Program(std::vector<std::string> words) {
    std::vector<char*> pointers;
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
        (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int nothing = ::open("/dev/null", O_RDWR);
        (void)::dup2(nothing, 0);
        (void)::dup2(nothing, 1);
        if (std::getenv("NBD_TEST_VERBOSE") == nullptr) {
            (void)::dup2(nothing, 2);
        }
        ::execvp(pointers[0], pointers.data());
        ::_exit(127);
    }
}

void Program::stop(int signal) {
    if (pid_ > 0) {
        (void)::kill(pid_, signal);
        (void)::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
}

int run_program(std::vector<std::string> words) {
    const Program program{std::move(words)};
    int status = -1;
    (void)::waitpid(program.pid(), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

std::vector<pid_t> processes_with(const std::string& part) {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
        const std::string number = entry.path().filename();
        if (number.find_first_not_of("0123456789") == std::string::npos && std::stoi(number) != ::getpid()) {
            std::ifstream file{entry.path() / "cmdline"};
            std::ostringstream read; // takes the error of a process that ends meanwhile as the end
            read << file.rdbuf();
            const std::string words = read.str();
            if (words.find(part) != std::string::npos) {
                found.push_back(std::stoi(number));
            }
        }
    }
    return found;
}

bool soon(const std::function<bool()>& what, std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!what()) {
        if (std::chrono::steady_clock::now() > until) {
            return false;
        }
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

NbdTest::NbdTest() {
    std::string name = std::filesystem::temp_directory_path() / "nbd-test-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
}

NbdTest::~NbdTest() {
    std::filesystem::remove_all(folder_);
}

Program NbdTest::nbdkit(std::vector<std::string> words) const {
    std::filesystem::remove(path("socket"));
    return nbdkit_on({"-U", path("socket")}, std::move(words));
}

Program NbdTest::nbdkit_on(const std::vector<std::string>& where, std::vector<std::string> words) const {
    words.insert(words.begin(), where.begin(), where.end());
    words.insert(words.begin(), {"nbdkit", "-f", "-P", path("pid")});
    std::filesystem::remove(path("pid"));
    Program program{std::move(words)};
    // Its pid file is written when it listens.
    EXPECT_TRUE(soon([&] { return std::filesystem::exists(path("pid")); })) << "nbdkit does not start";
    return program;
}

int free_port() {
    const UniqueFd probe{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(probe.get(), generic, length), 0);
    EXPECT_EQ(::getsockname(probe.get(), generic, &length), 0);
    return ntohs(address.sin_port);
}

Result<std::unique_ptr<disk::TargetSource>> NbdTest::open(const nbd::NbdOptions& options) {
    return nbd::open_nbd(options, [this](std::string_view line) {
        const std::lock_guard lock{log_mutex_};
        log_.emplace_back(line);
    });
}

std::unique_ptr<Disk> NbdTest::disk(nbd::NbdOptions options) {
    auto opened = open(options);
    if (!opened) {
        ADD_FAILURE() << opened.error().message;
        std::abort();
    }
    return std::make_unique<Disk>(*std::move(opened));
}

bool NbdTest::logged(const std::string& part) {
    const std::lock_guard lock{log_mutex_};
    return std::any_of(log_.begin(), log_.end(),
                       [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

} // namespace nbd_test
