// SPDX-License-Identifier: Apache-2.0
// Makes small kernels for tests: ELF files with Xen notes, compressed with the real libraries, wrapped as bzImages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <elf.h>

#include "vmm/image/kernel_image.hpp"

namespace parapet::image::test {

using Bytes = std::vector<std::byte>;

[[nodiscard]] Bytes bytes_of(std::string_view text);
void append(Bytes& to, std::span<const std::byte> bytes);
template <typename T>
void append_value(Bytes& to, const T& value) {
    append(to, std::as_bytes(std::span{&value, 1}));
}

/// One Xen note, padded.
[[nodiscard]] Bytes string_note(uint32_t type, std::string_view text);
[[nodiscard]] Bytes number_note(uint32_t type, uint64_t value, size_t width = 8);
[[nodiscard]] Bytes raw_note(std::string_view owner, uint32_t type, std::span<const std::byte> desc);

/// The notes of a Linux PV kernel at the usual addresses.
[[nodiscard]] Bytes linux_notes();

inline constexpr uint64_t linux_base = 0xffffffff80000000;

/// An ELF64 under construction; everything in it may be changed to something absurd before build().
struct ElfMaker {
    struct Part {
        Elf64_Phdr header;
        Bytes content;
    };
    Elf64_Ehdr ehdr{};
    std::vector<Part> parts;
    bool keep_offsets = false; ///< don't set p_offset and p_filesz from the content

    ElfMaker();
    /// A PT_LOAD segment; `mem_size` 0: as large as its content.
    ElfMaker& load(uint64_t paddr, Bytes content, uint64_t mem_size = 0);
    ElfMaker& note(Bytes content);
    [[nodiscard]] Bytes build();
};

/// A Linux-like kernel: text at 16 MiB, data after it, bss; `size` bytes of text that compress, but not too well.
[[nodiscard]] ElfMaker linux_elf(size_t size = 300'000);

/// ELF64 without program headers for its notes, but with the named section.
[[nodiscard]] Bytes elf_with_section(const std::string& name, uint32_t type, const Bytes& content, Bytes loaded);

/// A 32-bit ELF with one segment and these notes.
[[nodiscard]] Bytes elf32(const Bytes& notes);

[[nodiscard]] Bytes compress(Compression compression, std::span<const std::byte> bytes);
[[nodiscard]] Bytes xz_with_bcj(std::span<const std::byte> bytes);

/// A bzImage around a compressed payload; the size tail is added unless the payload carries it (gzip).
[[nodiscard]] Bytes bzimage(Bytes payload, uint32_t unpacked_size, bool add_tail, std::string_view version);
[[nodiscard]] Bytes bzimage_of(Compression compression, std::span<const std::byte> elf);

inline constexpr Compression all_compressions[] = {Compression::gzip, Compression::bzip2, Compression::lzma,
                                                   Compression::xz,   Compression::lzo,   Compression::lz4,
                                                   Compression::zstd};

/// Pages that exist on demand, in no order; limited to PFNs below `pages`.
class MapSink final : public PageSink {
public:
    explicit MapSink(uint64_t limit = UINT64_MAX) : limit_{limit} {}
    std::byte* page(uint64_t pfn) override;
    [[nodiscard]] Bytes read(uint64_t address, size_t size) const;
    std::map<uint64_t, Bytes> pages;

private:
    uint64_t limit_;
};

/// load_image over bytes that stay where they are, with the name "test.img".
[[nodiscard]] Result<KernelImage> load_bytes(std::span<const std::byte> bytes, const LoadOptions& options = {});

} // namespace parapet::image::test
