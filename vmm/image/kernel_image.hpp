// SPDX-License-Identifier: Apache-2.0
// Loads a PV kernel: a plain or compressed ELF, or a Linux bzImage, checked and ready to be copied into a domain.
//
//   file --(bzImage payload, decompress | KernelCache)--> ELF64 --(Xen notes)--> KernelImage --copy_to--> pages
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/result.hpp"
#include "vmm/image/page_sink.hpp"
#include "vmm/image/xen_notes.hpp"

namespace parapet::image {

class ByteSource;
class KernelCache;

enum class Compression { none, gzip, bzip2, lzma, xz, lzo, lz4, zstd };
[[nodiscard]] std::string_view name_of(Compression compression);

/// A PT_LOAD segment with something in it. `mem_size - file_size` bytes after the file's are zero.
struct Segment {
    uint64_t paddr = 0;     ///< as in the ELF
    uint64_t vaddr = 0;     ///< paddr - paddr_offset + virt_base: where Xen maps it, whatever p_vaddr says
    uint64_t file_size = 0; ///< <= mem_size
    uint64_t mem_size = 0;  ///< > 0
    uint64_t offset = 0;    ///< in the decompressed ELF
    uint32_t flags = 0;     ///< PF_R | PF_W | PF_X
};

/// Where a kernel's data meets the libraries that decompress it.
enum class Decoding {
    confined, ///< in a process of its own that can do nothing else (confined_decoder.hpp)
    here,     ///< in this one: it is confined itself, or the data is its own (tests)
};

struct LoadOptions {
    const KernelCache* cache = nullptr; ///< keeps decompressed kernels between runs; see kernel_cache.hpp
    uint64_t max_bytes = 1ULL << 30;    ///< bound on the decompressed size and on the image's extent
    Decoding decoding = Decoding::confined;
};

/// A checked kernel. Everything here has been validated: no overflow, segments inside the file, inside
/// [virt_start, virt_end), sorted by address and not overlapping, entry inside the image, virt_base page-aligned and
/// <= virt_start.
class KernelImage {
public:
    KernelImage();
    KernelImage(KernelImage&&) noexcept;
    KernelImage& operator=(KernelImage&&) noexcept;
    ~KernelImage();

    std::string path;
    bool is_bzimage = false;
    Compression compression = Compression::none;
    bool from_cache = false;
    uint64_t elf_size = 0; ///< bytes of the decompressed ELF

    /// "6.1.0-56-amd64": the first word of the bzImage's version text, or of "Linux version ..." in a plain vmlinux.
    /// Empty where the file doesn't say.
    std::string kernel_version;
    std::string version_text; ///< the whole line, with compiler and date

    XenNotes
        notes; ///< as written: strings, features, pae_mode, bsd_symtab, suspend_cancel, mod_start_pfn, l1_mfn_valid

    uint64_t entry = 0;     ///< guest VA
    uint64_t virt_base = 0; ///< guest VA of PFN 0
    uint64_t paddr_offset = 0;
    std::optional<uint64_t> hypercall_page; ///< guest VA, page-aligned, inside the image
    std::optional<uint64_t> init_p2m;       ///< guest VA where the kernel wants its initial P2M, page-aligned
    std::optional<uint64_t> hv_start_low;

    std::vector<Segment> segments;
    uint64_t virt_start = 0; ///< lowest guest VA of a segment
    uint64_t virt_end = 0;   ///< one past the highest guest VA of a segment, bss included

    /// First PFN and one past the last PFN that the image touches (PFN 0 is virt_base).
    [[nodiscard]] uint64_t first_pfn() const { return (virt_start - virt_base) / page_size; }
    [[nodiscard]] uint64_t end_pfn() const { return (virt_end - virt_base + page_size - 1) / page_size; }

    /// Copies the segments' file bytes into the domain's pages, once. Pages that would stay zero (bss, zero parts) are
    /// not asked for. Error: the sink has no such page ("too little memory"), or the file changed under us.
    [[nodiscard]] Result<void> copy_to(PageSink& sink) const;

    /// Frees the file and the decompressed bytes; the fields stay. copy_to fails afterwards.
    void release();

private:
    friend Result<KernelImage> load_image(std::string path, std::shared_ptr<const ByteSource> file,
                                          const LoadOptions& options);
    std::shared_ptr<const ByteSource> elf_;
};

/// Opens, decompresses and checks a kernel file. Errors are sentences for the user that name the file.
[[nodiscard]] Result<KernelImage> load_kernel(const std::string& path, const LoadOptions& options = {});

/// The same from bytes that are already there (tests, fuzzing); `path` only names them.
[[nodiscard]] Result<KernelImage> load_image(std::string path, std::shared_ptr<const ByteSource> file,
                                             const LoadOptions& options = {});

} // namespace parapet::image
