// SPDX-License-Identifier: Apache-2.0
// A domain's name among the domains of its user: one running domain each. In the folder of the control sockets:
//
//   NAME.lock   flock()ed as long as the domain's process or its sweeper lives: this is the claim
//   NAME.sock   the control socket, mode 0600
//   NAME.log    what a domain in the background says; stays when it ends badly, until the next of its name
//
// Whoever gets the lock removes what a dead process left behind.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"
#include "vmm/control/runtime_folder.hpp"
#include "vmm/control/sweeper.hpp"

#include <string>
#include <vector>

namespace parapet::vmm::control {

class NameClaim {
public:
    struct Wish {
        std::string name;
        bool exact = true;     ///< otherwise NAME-2, NAME-3, ... where NAME is taken
        bool keep_log = false; ///< for a domain in the background
    };
    /// Claims a name in the best of `folders` and listens on its socket. Before this process has threads.
    static Result<NameClaim> take(const Wish& wish, const std::vector<std::string>& folders = runtime_folders());

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] int listener() const { return listener_.get(); }
    [[nodiscard]] std::string socket_path() const { return folder_.path + "/" + name_ + ".sock"; }
    [[nodiscard]] std::string log_path() const { return folder_.path + "/" + name_ + ".log"; }
    [[nodiscard]] Sweeper& sweeper() { return sweeper_; }

private:
    NameClaim(RuntimeFolder folder, std::string name) : folder_{std::move(folder)}, name_{std::move(name)} {}
    Result<bool> lock();
    Result<void> listen();
    [[nodiscard]] bool answers() const;

    RuntimeFolder folder_;
    std::string name_;
    UniqueFd lock_, listener_;
    Sweeper sweeper_;
};

} // namespace parapet::vmm::control
