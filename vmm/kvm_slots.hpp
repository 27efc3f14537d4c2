// SPDX-License-Identifier: Apache-2.0
// The numbers of KVM's descriptors: always the same, so that the sandbox can say which request goes to which of them,
// and a guest's reboot finds its new VM under the old one's.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace parapet::vmm {

inline constexpr int system_slot = 254; ///< /dev/kvm
inline constexpr int vm_slot = 255;
inline constexpr int first_vcpu_slot = 256; ///< and its number
inline constexpr int vcpu_slots = 64;
static_assert((first_vcpu_slot & (vcpu_slots - 1)) == 0, "one mask tells a vCPU's descriptor");

/// Moves the descriptor to `slot`. Where that is taken (a second VM in this process: tests) it stays where it is.
inline Result<UniqueFd> move_to_slot(UniqueFd fd, int slot) {
    if (::fcntl(slot, F_GETFD) >= 0) {
        return fd;
    }
    UniqueFd moved{::dup3(fd.get(), slot, O_CLOEXEC)};
    if (!moved.valid()) {
        return Error{std::string{"KVM's descriptors cannot be numbered ("} + std::strerror(errno) +
                     "); raise the limit of open files (ulimit -n 1024)"};
    }
    return moved;
}

} // namespace parapet::vmm
