// SPDX-License-Identifier: Apache-2.0
// A small process beside the domain's, which removes its files when the domain's process ends in whatever way: that one
// may not, as its sandbox lets it name no file. It also keeps the log of a domain in the background, within bounds.
//
// It holds nothing of the domain but the lock on its name, reads nothing of the guest but the log's bytes, and can do
// nothing but that (docs/security.md).
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <cstddef>
#include <string>
#include <sys/types.h>
#include <utility>

namespace parapet::vmm::control {

class Sweeper {
public:
    static constexpr std::size_t most_log_bytes = 1 << 20;

    struct Files {
        int folder = -1;       ///< descriptor of the folder that they are in
        int lock = -1;         ///< locked descriptor: let go of last
        std::string name;      ///< NAME.sock, NAME.lock and NAME.log
        bool keep_log = false; ///< write what comes to log_input() to NAME.log
    };
    /// Starts it. Before this process has threads.
    static Result<Sweeper> start(const Files& files);

    Sweeper() = default;
    Sweeper(Sweeper&& other) noexcept { *this = std::move(other); }
    Sweeper& operator=(Sweeper&& other) noexcept {
        std::swap(process_, other.process_);
        std::swap(life_, other.life_);
        std::swap(log_, other.log_);
        return *this;
    }
    /// Lets it sweep, and waits until it has.
    ~Sweeper();

    /// Where the log's bytes go, with keep_log.
    [[nodiscard]] int log_input() const { return log_.get(); }
    /// The domain ended well: its log is not wanted any more.
    void forget_log();

private:
    pid_t process_ = 0;
    UniqueFd life_; ///< the sweeper waits for its end
    UniqueFd log_;
};

} // namespace parapet::vmm::control
