// SPDX-License-Identifier: Apache-2.0
// Turns notes into addresses by the rules of Xen's loader:
//   virtual = p_paddr - PADDR_OFFSET + VIRT_BASE, with VIRT_BASE = 0, ENTRY = e_entry, and PADDR_OFFSET = 0 (or, with
//   a __xen_guest section, = VIRT_BASE) where the kernel does not say.
#include "vmm/image/layout.hpp"

#include <elf.h>

#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

/// L4 slots 256-271: the hypervisor's.
constexpr uint64_t hole_start = 0xffff800000000000;
constexpr uint64_t hole_end = 0xffff880000000000;
constexpr uint64_t lower_half_end = 0x0000800000000000;

const std::string remedy = "; build or download the kernel again";

bool page_aligned(uint64_t address) {
    return address % page_size == 0;
}

Error bad_address(const std::string& what, uint64_t address, const std::string& why) {
    return {"is a broken PV kernel: " + what + " " + hex(address) + " " + why + remedy};
}

Result<void> set_extent(const Elf& elf, uint64_t max_bytes, KernelImage& image) {
    const uint64_t offset = image.virt_base - image.paddr_offset;
    const uint64_t low = elf.segments.front().paddr;
    const uint64_t high = elf.segments.back().paddr + elf.segments.back().mem_size;
    image.virt_start = low + offset;
    image.virt_end = high + offset;
    if (!page_aligned(image.virt_base))
        return bad_address("its VIRT_BASE", image.virt_base, "is not at the start of a page");
    if (!is_guest_range(image.virt_start, image.virt_end))
        return bad_address("its segments start at", image.virt_start,
                           "and end at " + hex(image.virt_end) + ", which is no range for a guest");
    if (image.virt_base > image.virt_start)
        return bad_address("its VIRT_BASE", image.virt_base, "is above its first segment at " + hex(image.virt_start));
    // From VIRT_BASE, not from the first segment: memory below the image is the domain's too.
    if (!is_guest_range(image.virt_base, image.virt_end) || image.virt_end - image.virt_base > max_bytes)
        return Error{"needs " + std::to_string((image.virt_end - image.virt_base) >> 20) +
                     " MiB from its VIRT_BASE to its end, more than the " + std::to_string(max_bytes >> 20) +
                     " MiB that a kernel may take" + remedy};
    image.segments = elf.segments;
    for (Segment& segment : image.segments)
        segment.vaddr = segment.paddr + offset;
    return {};
}

Result<void> set_addresses(const Elf& elf, KernelImage& image) {
    image.entry = elf.notes.entry.value_or(elf.entry);
    if (image.entry < image.virt_start || image.entry >= image.virt_end)
        return bad_address("its entry point", image.entry, "is outside of it");
    image.hypercall_page = elf.notes.hypercall_page;
    if (elf.notes.hypercall_page_number)
        image.hypercall_page = *elf.notes.hypercall_page_number * page_size + image.virt_base;
    if (image.hypercall_page) {
        const uint64_t page = *image.hypercall_page;
        if (!page_aligned(page))
            return bad_address("its hypercall page", page, "is not at the start of a page");
        if (page < image.virt_base || page >= image.virt_end)
            return bad_address("its hypercall page", page, "is outside of it");
    }
    image.init_p2m = elf.notes.init_p2m;
    if (image.init_p2m) {
        const uint64_t p2m = *image.init_p2m;
        if (!page_aligned(p2m) || !is_guest_range(p2m, p2m + page_size))
            return bad_address("its INIT_P2M", p2m, "is no place for a table");
        if (p2m >= image.virt_start && p2m < image.virt_end)
            return bad_address("its INIT_P2M", p2m, "is inside of it");
    }
    image.hv_start_low = elf.notes.hv_start_low;
    if (image.hv_start_low && *image.hv_start_low > hole_start)
        return bad_address("its HV_START_LOW", *image.hv_start_low, "is above the hypervisor's first address");
    return {};
}

} // namespace

bool is_guest_range(uint64_t start, uint64_t end) {
    return start < end && (end <= lower_half_end || start >= hole_end);
}

Result<void> check_is_pv(const Elf& elf, bool linux) {
    const XenNotes& notes = elf.notes;
    const bool pvh_only = notes.phys32_entry && !notes.entry;
    if (!notes.present || pvh_only) {
        if (linux || notes.guest_os == "linux")
            return Error{"is a Linux kernel that is not built with CONFIG_XEN_PV; use one that is, for instance that "
                         "of Debian's linux-image-amd64"};
        return Error{std::string{"is an ELF file, but not a Xen PV kernel: "} +
                     (pvh_only ? "its notes name only a PVH entry" : "it has no Xen notes") +
                     "; use a kernel built for Xen PV (Linux: CONFIG_XEN_PV)"};
    }
    if (elf.machine == EM_386 && !elf.wide)
        return Error{"is a 32-bit PV kernel, which this version does not yet support; use a 64-bit one"};
    if (elf.machine != EM_X86_64 || !elf.wide)
        return Error{"is a kernel for another kind of processor (ELF machine " + std::to_string(elf.machine) +
                     "); use one for x86-64"};
    if (!notes.xen_version.starts_with("xen-3.0"))
        return Error{"is built for Xen version '" + notes.xen_version +
                     "', not for the PV interface 'xen-3.0'; use a kernel built for that"};
    if (!notes.loader.starts_with("generic") && !notes.guest_os.starts_with("linux"))
        return Error{"asks for the loader '" + notes.loader + "'; use a PV kernel for the 'generic' loader"};
    return {};
}

Result<void> apply_layout(Elf elf, uint64_t max_bytes, KernelImage& image) {
    if (elf.notes.paddr_offset && !elf.notes.virt_base)
        return Error{"is a broken PV kernel: it has a PADDR_OFFSET but no VIRT_BASE" + remedy};
    image.virt_base = elf.notes.virt_base.value_or(0);
    image.paddr_offset = elf.notes.paddr_offset.value_or(elf.notes.legacy ? image.virt_base : 0);
    if (auto done = set_extent(elf, max_bytes, image); !done)
        return done;
    if (auto done = set_addresses(elf, image); !done)
        return done;
    image.notes = std::move(elf.notes);
    return {};
}

Result<void> accept_parsed(ParsedImage parsed, uint64_t elf_size, uint64_t max_bytes, KernelImage& image) {
    if (auto sound = check_segments(parsed.elf.segments, elf_size); !sound)
        return sound;
    if (auto pv = check_is_pv(parsed.elf, parsed.is_bzimage); !pv)
        return pv;
    if (auto laid_out = apply_layout(std::move(parsed.elf), max_bytes, image); !laid_out)
        return laid_out;
    image.is_bzimage = parsed.is_bzimage;
    image.compression = parsed.compression;
    image.elf_size = elf_size;
    image.version_text = std::move(parsed.version_text);
    image.kernel_version = image.version_text.substr(0, image.version_text.find(' '));
    return {};
}

} // namespace parapet::image
