// SPDX-License-Identifier: Apache-2.0
// Runs the program that reads disk images, for a finder that can start nothing itself.
//
//   finder ──question, two descriptors──▶ runner ──fork, execveat──▶ grub-fstest IMAGE command argument
//          ◀──────── exit status ────────        ──pidfd: kill──▶   (when told to stop, or nobody waits)
//
// The runner is forked before anything of the image is read. It knows the program and the image from then; a finder
// that was taken over can choose between two commands and what stands behind them, and which of its own descriptors the
// program writes to.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"
#include "vmm/bootdisk/served_image.hpp"

#include <cstdint>
#include <string>

namespace parapet::bootdisk {

class ProgramRunner {
public:
    enum class Command : char { list = 'l', print = 'p' };
    static constexpr std::size_t max_argument = 4096;

    struct Question {
        Command command;
        std::string argument;
        std::uint64_t offset = 0, length = 0; ///< of what is printed; length 0: to the end
    };

    /// Forks it. `image`: an absolute path; of the sparse file where the disk is `served`. The program is open at
    /// program_fd, which is closed here afterwards, as are the served disk's descriptors.
    static Result<ProgramRunner> start(const std::string& image, const ServedDisk& served = {});

    /// Begins a run, with these as standard output and error. One at a time. False: the runner is gone.
    [[nodiscard]] bool begin(const Question& question, int output, int complaints) const;
    /// Ends the run that was begun. Its status follows all the same.
    void stop() const;
    /// Waits for the end of the run. The exit status; -1: killed by a signal, or the runner is gone.
    [[nodiscard]] int wait() const;

    /// Its status where the program could not be started.
    static constexpr int not_started = 126;
    /// The same, as this kernel does not let its reads be watched.
    static constexpr int not_watched = 125;

private:
    explicit ProgramRunner(UniqueFd socket) : socket_{std::move(socket)} {}
    UniqueFd socket_;
};

} // namespace parapet::bootdisk
