// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/runtime_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace parapet::vmm::control {

namespace {

constexpr const char* remedy = "; set PARAPET_RUN to a folder of your own";

bool is_own_folder(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid();
}

} // namespace

std::vector<std::string> runtime_folders() {
    if (const char* wish = std::getenv("PARAPET_RUN"); wish != nullptr && *wish != 0) {
        return {wish};
    }
    const std::string user = std::to_string(::geteuid());
    std::vector<std::string> folders;
    const auto add = [&folders](const std::string& base) {
        const std::string folder = base + "/parapet";
        if (is_own_folder(base) && std::find(folders.begin(), folders.end(), folder) == folders.end()) {
            folders.push_back(folder);
        }
    };
    if (::geteuid() == 0) {
        add("/run");
    }
    if (const char* session = std::getenv("XDG_RUNTIME_DIR"); session != nullptr && *session == '/') {
        add(session);
    }
    add("/run/user/" + user);
    folders.push_back("/tmp/parapet-" + user);
    return folders;
}

Result<RuntimeFolder> open_runtime_folder(const std::string& path) {
    RuntimeFolder folder{path, UniqueFd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)}};
    if (!folder.descriptor.valid()) {
        return Error{"the folder for control sockets '" + path + "' cannot be used: " + std::strerror(errno) + remedy};
    }
    struct stat info {};
    if (::fstat(folder.descriptor.get(), &info) != 0 || info.st_uid != ::geteuid()) {
        return Error{"the folder for control sockets '" + path + "' belongs to somebody else" + remedy};
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return Error{"others may write to the folder for control sockets '" + path + "': 'chmod go-w " + path + "'"};
    }
    return folder;
}

Result<RuntimeFolder> make_runtime_folder(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return Error{"the folder for control sockets '" + path + "' cannot be made: " + std::strerror(errno) + remedy};
    }
    return open_runtime_folder(path);
}

} // namespace parapet::vmm::control
