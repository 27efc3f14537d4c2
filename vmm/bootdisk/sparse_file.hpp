// SPDX-License-Identifier: Apache-2.0
// A temporary file with a name, which goes with the object: also when the process is told to end meanwhile, since
// signals wait until then.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <csignal>
#include <cstdint>
#include <memory>
#include <string>

namespace parapet::bootdisk {

class SparseFile {
public:
    /// In $TMPDIR or /var/tmp, for this user only, with nothing but a hole of so many bytes.
    static Result<std::unique_ptr<SparseFile>> make(std::uint64_t bytes);
    ~SparseFile();
    SparseFile(const SparseFile&) = delete;
    SparseFile& operator=(const SparseFile&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int fd() const { return fd_.get(); }
    /// A signal waits that will end this process: be quick.
    [[nodiscard]] static bool told_to_end();

private:
    SparseFile();

    std::string path_;
    UniqueFd fd_;
    sigset_t before_{};
};

} // namespace parapet::bootdisk
