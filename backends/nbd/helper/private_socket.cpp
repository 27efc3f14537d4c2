// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/private_socket.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace parapet::nbd {

namespace {

Error failed(const std::string& what, const std::string& where) {
    return Error{"cannot " + what + " in " + where + " (" + std::strerror(errno) +
                 "); make it writable, or set TMPDIR to a folder that is"};
}

/// Binds, listens and connects; the name exists while this runs.
Result<PrivateSocket> connect_by_name(const std::string& name) {
    PrivateSocket made{UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)},
                       UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (name.size() >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return failed("make a socket", name);
    }
    std::memcpy(address.sun_path, name.data(), name.size());
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    const int listening = made.listening.get();
    if (::bind(listening, generic, sizeof(address)) != 0 || ::listen(listening, 1) != 0 ||
        ::connect(made.connected.get(), generic, sizeof(address)) != 0) {
        return failed("make a socket", name);
    }
    return made;
}

} // namespace

Result<PrivateSocket> make_private_socket() {
    const char* wished = std::getenv("TMPDIR");
    const std::string parent = wished != nullptr && *wished != 0 ? wished : "/tmp";
    std::string folder = parent + "/parapet-nbd-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) {
        return failed("make a private folder", parent);
    }
    const std::string name = folder + "/s";
    auto made = connect_by_name(name);
    (void)::unlink(name.c_str());
    (void)::rmdir(folder.c_str());
    return made;
}

} // namespace parapet::nbd
