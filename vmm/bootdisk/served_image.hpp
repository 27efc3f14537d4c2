// SPDX-License-Identifier: Apache-2.0
// A disk that is no raw file (qcow2, vhd, vmdk, NBD) as one that the reader can open: a sparse file into which what is
// about to be read is copied first. The bytes come from parapet-nbd (backends/nbd), which serves the disk.
//
//   grub-fstest --read()--> kernel --seccomp: asks--> runner --request--> parapet-nbd --> qemu-nbd, or an NBD server
//        ▲                                              │ <--slot of the shared memory---
//        └────── goes on, and reads the file ◀──────────┘ copied to the file
#pragma once

#include "support/result.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace parapet::bootdisk {

/// Open descriptors: of parapet-nbd, its socket and memory (backends/nbd/protocol.hpp); of the sparse file.
struct ServedFds {
    int socket = -1, memory = -1, file = -1;
};

/// What parapet-nbd has said of the disk.
struct ServedDisk {
    ServedFds fds;
    std::uint64_t bytes = 0; ///< a multiple of a sector
    std::uint32_t max_read = 0;

    [[nodiscard]] bool is_there() const { return fds.socket >= 0; }
};

class ServedImage {
public:
    /// Keeps the descriptors, which stay the caller's.
    static Result<ServedImage> open(const ServedDisk& disk);

    /// Sees to it that these bytes are in the file, as far as the disk goes. False: they cannot be read.
    bool provide(std::uint64_t offset, std::uint64_t length);

private:
    ServedImage(const ServedDisk& disk, const std::byte* memory);
    bool fetch(std::uint64_t chunk);
    [[nodiscard]] bool ask(std::uint64_t offset, std::uint32_t length) const;

    ServedDisk disk_;
    const std::byte* memory_;
    std::vector<bool> there_; ///< by chunk
};

/// In the child that becomes the reader: from now on each of its reads waits for a ReadWatch. A descriptor for that
/// one, or -1: this kernel cannot (before Linux 5.5).
int watch_own_reads();

/// The other end, in the runner.
class ReadWatch {
public:
    ReadWatch(int listener, ServedImage& image) : listener_{listener}, image_{image} {}

    /// When the listener is readable: one call of the reader.
    void serve();

private:
    [[nodiscard]] bool provide_for(int call, const std::uint64_t* arguments);

    int listener_;
    ServedImage& image_;
    /// Where the reader's descriptors stand, those of other files too: what is provided for them does no harm.
    std::map<std::uint64_t, std::uint64_t> positions_;
};

} // namespace parapet::bootdisk
