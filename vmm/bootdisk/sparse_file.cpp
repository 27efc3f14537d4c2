// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/sparse_file.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

constexpr std::array ending_signals{SIGINT, SIGTERM, SIGHUP, SIGQUIT};

} // namespace

SparseFile::SparseFile() {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : ending_signals) {
        sigaddset(&held, signal);
    }
    sigprocmask(SIG_BLOCK, &held, &before_);
}

SparseFile::~SparseFile() {
    if (!path_.empty()) {
        unlink(path_.c_str());
    }
    sigprocmask(SIG_SETMASK, &before_, nullptr);
}

Result<std::unique_ptr<SparseFile>> SparseFile::make(std::uint64_t bytes) {
    const char* const folder = std::getenv("TMPDIR");
    std::string name =
        std::string{folder != nullptr && folder[0] == '/' ? folder : "/var/tmp"} + "/parapet-boot.XXXXXX";
    std::unique_ptr<SparseFile> file{new SparseFile};
    file->fd_ = UniqueFd{mkostemp(name.data(), O_CLOEXEC)};
    if (file->fd_.valid()) {
        file->path_ = name;
    }
    if (!file->fd_.valid() || ftruncate(file->fd_.get(), static_cast<off_t>(bytes)) != 0) {
        return Error{"what it boots needs a temporary file (" + name + ": " + std::strerror(errno) +
                     "); name another folder in TMPDIR, or a kernel with --kernel"};
    }
    return file;
}

bool SparseFile::told_to_end() {
    sigset_t waiting;
    if (sigpending(&waiting) != 0) {
        return false;
    }
    for (const int signal : ending_signals) {
        struct sigaction action {};
        if (sigismember(&waiting, signal) == 1 && sigaction(signal, nullptr, &action) == 0 &&
            action.sa_handler != SIG_IGN) {
            return true;
        }
    }
    return false;
}

} // namespace parapet::bootdisk
