// SPDX-License-Identifier: Apache-2.0
// The checks before a start.
#include "tools/parapet/host_checks.hpp"

#include "tools/parapet/quantities.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

namespace parapet::cli {
namespace {

Error input_error(const std::string& what, const std::string& file, int error) {
    const std::string thing = what + " '" + file + "' ";
    if (error == ENOENT || error == ENOTDIR) {
        return Error{thing + "does not exist: check the path"};
    }
    if (error == EACCES || error == EPERM) {
        return Error{thing + "may not be read by you: copy it to a file of your own, with sudo if need be"};
    }
    return Error{thing + "cannot be opened: " + std::strerror(error)};
}

/// A regular, readable file that is not empty.
Result<void> check_input(const std::string& what, const std::string& file) {
    const int fd = open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return input_error(what, file, errno);
    }
    struct stat info {};
    const bool known = fstat(fd, &info) == 0;
    close(fd);
    if (!known || !S_ISREG(info.st_mode)) {
        return Error{what + " '" + file + "' is not a file: name the image itself"};
    }
    if (info.st_size == 0) {
        return Error{what + " '" + file + "' is empty: fetch or build it again"};
    }
    return {};
}

Result<void> check_memory(std::uint64_t wanted, const HostPaths& paths) {
    std::ifstream file{paths.meminfo};
    const auto host = parse_meminfo(std::string{std::istreambuf_iterator<char>{file}, {}});
    if (!host || wanted <= host->total) {
        return {}; // what is only short at the moment may be given back by the time the guest touches it
    }
    const std::uint64_t fits = host->available >> 20 << 20;
    return Error{"--memory " + format_size(wanted) + " is more than this host has (" +
                 format_size(host->total >> 20 << 20) + " with swap): at most " + format_size(fits) + " is free now"};
}

Result<void> check_kvm(const HostPaths& paths) {
    const int fd = open(paths.kvm.c_str(), O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return {};
    }
    switch (errno) {
    case ENOENT:
        return Error{"this host has no " + paths.kvm +
                     ": turn virtualization on in its firmware (in a virtual machine: nested virtualization), and "
                     "'sudo modprobe kvm_intel' or kvm_amd; 'parapet doctor' tells more"};
    case EACCES:
    case EPERM:
        return Error{"you have no right to use " + paths.kvm + ": 'sudo usermod -aG kvm $USER', then log in again"};
    default:
        return Error{paths.kvm + " cannot be opened (" + std::strerror(errno) + "): 'parapet doctor' tells more"};
    }
}

} // namespace

std::optional<HostMemory> parse_meminfo(const std::string& text) {
    std::istringstream lines{text};
    std::string line;
    HostMemory memory;
    bool total = false;
    bool available = false;
    while (std::getline(lines, line)) {
        std::istringstream words{line};
        std::string key;
        std::uint64_t kib = 0;
        if (!(words >> key >> kib)) {
            continue;
        }
        if (key == "MemTotal:" || key == "SwapTotal:") {
            memory.total += kib << 10;
            total = total || key == "MemTotal:";
        } else if (key == "MemAvailable:") {
            memory.available = kib << 10;
            available = true;
        }
    }
    return total && available ? std::optional{memory} : std::nullopt;
}

Result<void> check_host(const RunOptions& options, const HostPaths& paths) {
    // Without one, the disk's is found later.
    if (auto kernel = options.kernel.empty() ? Result<void>{} : check_input("kernel", options.kernel); !kernel) {
        return kernel;
    }
    for (const std::string& initrd : options.initrds) {
        if (auto checked = check_input("initrd", initrd); !checked) {
            return checked;
        }
    }
    if (auto memory = check_memory(options.memory_bytes, paths); !memory) {
        return memory;
    }
    return check_kvm(paths);
}

} // namespace parapet::cli
