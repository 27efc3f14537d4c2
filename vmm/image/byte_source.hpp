// SPDX-License-Identifier: Apache-2.0
// Bytes of a kernel or initrd, either still in a file or already in memory.
//
// Files are read, never mapped: a mapped file that another program truncates would kill the vmm with SIGBUS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "support/result.hpp"
#include "vmm/image/mapping.hpp"
#include "vmm/image/page_sink.hpp"

namespace parapet::image {

class ByteSource {
public:
    ByteSource() = default;
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;
    virtual ~ByteSource() = default;

    [[nodiscard]] virtual uint64_t size() const = 0;

    /// Fills the pieces in order with the bytes from `offset` on; false if they are not all there.
    [[nodiscard]] virtual bool scatter(uint64_t offset, std::span<const std::span<std::byte>> pieces) const = 0;

    [[nodiscard]] bool read(uint64_t offset, std::span<std::byte> to) const { return scatter(offset, {&to, 1}); }

    /// All bytes, if they are in memory; otherwise empty.
    [[nodiscard]] virtual std::span<const std::byte> bytes() const { return {}; }

    /// Nobody can change the bytes any more: a sealed memory file.
    [[nodiscard]] virtual bool sealed() const { return false; }

    /// The file's status when it was opened, if it is a file.
    [[nodiscard]] virtual const struct stat* info() const { return nullptr; }

    /// What scatter() reads from, if that is a file; else -1.
    [[nodiscard]] virtual int descriptor() const { return -1; }
};

class MemorySource final : public ByteSource {
public:
    explicit MemorySource(Mapping mapping) : mapping_{std::move(mapping)}, bytes_{mapping_.bytes()} {}
    /// Borrows the bytes.
    explicit MemorySource(std::span<const std::byte> bytes) : bytes_{bytes} {}

    [[nodiscard]] uint64_t size() const override { return bytes_.size(); }
    [[nodiscard]] bool scatter(uint64_t offset, std::span<const std::span<std::byte>> pieces) const override;
    [[nodiscard]] std::span<const std::byte> bytes() const override { return bytes_; }

private:
    Mapping mapping_;
    std::span<const std::byte> bytes_;
};

/// Opens a file to be loaded. Error sentence if it is missing, unreadable, not a regular file or empty; `what` is the
/// thing's name for the user ("kernel", "initrd").
[[nodiscard]] Result<std::shared_ptr<const ByteSource>> load_file(const std::string& path, const std::string& what);

/// Copies bytes [offset, offset + length) of a source to pseudo-physical address `target` onwards. Pages whose part
/// is all zero are neither asked for nor written where the bytes are in memory.
enum class CopyOutcome { done, no_such_page, unreadable };
[[nodiscard]] CopyOutcome copy_to_pages(const ByteSource& source, uint64_t offset, uint64_t length, PageSink& sink,
                                        uint64_t target);

} // namespace parapet::image
