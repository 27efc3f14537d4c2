// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/name_claim.hpp"

#include "vmm/control/client.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace parapet::vmm::control {

namespace {

constexpr unsigned most_attempts = 1000; ///< of names that are not exact

Error taken(const std::string& name) {
    return Error{"a domain named '" + name +
                 "' runs already: give this one another --name, or end that one with 'parapet shutdown " + name + "'"};
}

Result<RuntimeFolder> first_usable(const std::vector<std::string>& folders) {
    std::optional<Error> why;
    for (const std::string& path : folders) {
        auto folder = make_runtime_folder(path);
        if (folder) {
            return folder;
        }
        why = folder.error();
    }
    return why.value_or(Error{"there is no folder for control sockets; set PARAPET_RUN to a folder of your own"});
}

/// A domain of that name in another folder, from a session with another environment.
bool runs_elsewhere(const std::string& name, const std::string& here, const std::vector<std::string>& folders) {
    for (const std::string& folder : folders) {
        if (folder != here && open_runtime_folder(folder) && connect_to(folder + "/" + name + ".sock")) {
            return true;
        }
    }
    return false;
}

std::string numbered(const std::string& name, unsigned number) {
    if (number == 1) {
        return name;
    }
    const std::string suffix = "-" + std::to_string(number);
    return name.substr(0, 64 - suffix.size()) + suffix;
}

} // namespace

bool NameClaim::answers() const {
    return static_cast<bool>(connect_to(socket_path()));
}

/// False: another process has it.
Result<bool> NameClaim::lock() {
    using namespace std::chrono_literals;
    const std::string file = name_ + ".lock";
    const auto patience = std::chrono::steady_clock::now() + 2s;
    for (;;) {
        lock_ =
            UniqueFd{::openat(folder_.descriptor.get(), file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
        if (!lock_.valid()) {
            return Error{"'" + folder_.path + "/" + file + "' cannot be made: " + std::strerror(errno) +
                         "; set PARAPET_RUN to a folder of your own"};
        }
        if (::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) {
            struct stat ours {};
            struct stat named {};
            if (::fstat(lock_.get(), &ours) == 0 &&
                ::fstatat(folder_.descriptor.get(), file.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                ours.st_ino == named.st_ino) {
                return true;
            }
            continue; // its last holder removed it just then
        }
        // It may be a dead domain's sweeper that has the lock, for another moment.
        if (answers() || std::chrono::steady_clock::now() > patience) {
            return false;
        }
        std::this_thread::sleep_for(20ms);
    }
}

Result<void> NameClaim::listen() {
    const auto address = socket_address(socket_path());
    if (!address) {
        return address.error();
    }
    (void)::unlinkat(folder_.descriptor.get(), (name_ + ".sock").c_str(), 0); // a dead process's
    listener_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const mode_t before = ::umask(0177);
    const bool bound = listener_.valid() &&
                       ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0;
    const int error = errno;
    ::umask(before);
    if (!bound || ::listen(listener_.get(), 16) != 0) {
        return Error{"the control socket '" + socket_path() + "' cannot be made: " +
                     std::strerror(bound ? errno : error) + "; set PARAPET_RUN to another folder of your own"};
    }
    return {};
}

Result<NameClaim> NameClaim::take(const Wish& wish, const std::vector<std::string>& folders) {
    for (unsigned number = 1; number <= most_attempts; number++) {
        auto folder = first_usable(folders);
        if (!folder) {
            return folder.error();
        }
        NameClaim claim{*std::move(folder), numbered(wish.name, number)};
        const auto locked = claim.lock();
        if (!locked) {
            return locked.error();
        }
        if (!*locked || runs_elsewhere(claim.name_, claim.folder_.path, folders)) {
            if (wish.exact) {
                return taken(wish.name);
            }
            continue;
        }
        // The sweeper first: it must not hold the listening socket, not even for a moment.
        auto sweeper = Sweeper::start({claim.folder_.descriptor.get(), claim.lock_.get(), claim.name_, wish.keep_log});
        if (!sweeper) {
            return sweeper.error();
        }
        claim.sweeper_ = *std::move(sweeper);
        if (auto listening = claim.listen(); !listening) {
            return listening.error();
        }
        return claim;
    }
    return taken(wish.name);
}

} // namespace parapet::vmm::control
