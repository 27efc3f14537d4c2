// SPDX-License-Identifier: Apache-2.0
// parapet-inspect FILE...: what a kernel file is, and what it tells Xen. With --cache it also fills the kernel cache.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include <sys/stat.h>

#include "vmm/image/kernel_cache.hpp"
#include "vmm/image/kernel_image.hpp"
#include "vmm/image/text.hpp"

namespace {

using namespace parapet::image;

void line(const char* name, const std::string& value) {
    std::printf("  %-18s %s\n", name, value.c_str());
}

void address(const char* name, const std::optional<uint64_t>& value) {
    line(name, value ? hex(*value) : "-");
}

std::string features_of(const Features& features) {
    std::string text;
    for (unsigned bit = 0; bit < 64; ++bit) {
        if (!features.supports(bit))
            continue;
        const std::string name{feature_name(bit)};
        text += (text.empty() ? "" : " ") + std::string{features.requires_feature(bit) ? "!" : ""} +
                (name.empty() ? "bit" + std::to_string(bit) : name);
    }
    for (const std::string& word : features.unknown)
        text += " " + word + "(unknown)";
    return text.empty() ? "-" : text;
}

std::string_view name_of(PaeMode mode) {
    switch (mode) {
    case PaeMode::no:
        return "no";
    case PaeMode::yes:
        return "yes";
    case PaeMode::bimodal:
        return "bimodal";
    default:
        return "-";
    }
}

void print_notes(const XenNotes& notes) {
    line("guest", notes.guest_os + " " + notes.guest_version);
    line("interface", notes.xen_version + ", loader " + (notes.loader.empty() ? "-" : notes.loader) +
                          (notes.legacy ? ", from __xen_guest" : ""));
    line("features", features_of(notes.features));
    line("PAE mode", std::string{name_of(notes.pae_mode)});
    line("flags", std::string{notes.suspend_cancel ? "suspend-cancel " : ""} +
                      (notes.mod_start_pfn ? "mod-start-pfn " : "") + (notes.bsd_symtab ? "bsd-symtab" : ""));
    for (const L1MfnValid& pair : notes.l1_mfn_valid)
        line("L1 MFN valid", "mask " + hex(pair.mask) + " value " + hex(pair.value));
    address("PVH entry (phys)", notes.phys32_entry);
}

void print(const KernelImage& image) {
    std::printf("%s\n", image.path.c_str());
    line("format", std::string{image.is_bzimage ? "bzImage" : "ELF"} + ", compression " +
                       std::string{parapet::image::name_of(image.compression)} +
                       (image.from_cache ? ", from the cache" : "") + ", ELF of " + std::to_string(image.elf_size) +
                       " bytes");
    line("version", image.version_text.empty() ? "-" : image.version_text);
    print_notes(image.notes);
    address("entry", image.entry);
    address("virt base", image.virt_base);
    address("paddr offset", image.paddr_offset);
    address("hypercall page", image.hypercall_page);
    address("initial P2M", image.init_p2m);
    address("HV start low", image.hv_start_low);
    line("extent", hex(image.virt_start) + " - " + hex(image.virt_end) + ", PFN " + hex(image.first_pfn()) + " - " +
                       hex(image.end_pfn()));
    for (const Segment& segment : image.segments)
        line("segment", "va " + hex(segment.vaddr) + " pa " + hex(segment.paddr) + " file " + hex(segment.file_size) +
                            " mem " + hex(segment.mem_size) + " offset " + hex(segment.offset) + " " +
                            ((segment.flags & 4) != 0 ? "r" : "-") + ((segment.flags & 2) != 0 ? "w" : "-") +
                            ((segment.flags & 1) != 0 ? "x" : "-"));
}

/// A file that has just been written is not cached until its times can be told from those of a later change.
void wait_until_settled(const KernelCache& cache, const char* path) {
    struct stat info {};
    for (int i = 0; i < 30 && stat(path, &info) == 0 && cache.key_of(path, info).empty(); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds{100});
}

int inspect(const char* path, const std::optional<KernelCache>& cache) {
    if (cache)
        wait_until_settled(*cache, path);
    const auto image = load_kernel(path, {.cache = cache ? &*cache : nullptr});
    if (!image) {
        std::fprintf(stderr, "parapet-inspect: %s\n", image.error().message.c_str());
        return 1;
    }
    print(*image);
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    std::optional<KernelCache> cache;
    int first = 1;
    if (argc > 1 && std::strcmp(argv[1], "--cache") == 0) {
        cache = KernelCache::from_environment();
        first = 2;
    }
    if (first >= argc || argv[first][0] == '-') {
        std::fprintf(stderr, "usage: parapet-inspect [--cache] FILE...\n");
        return 2;
    }
    int status = 0;
    for (int i = first; i < argc; ++i)
        status |= inspect(argv[i], cache);
    return status;
}
