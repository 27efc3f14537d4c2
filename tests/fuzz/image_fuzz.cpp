// SPDX-License-Identifier: Apache-2.0
// libFuzzer: hostile kernel files. The first byte says what the rest is: the file itself, an ELF to be wrapped and
// compressed, or note bytes. Seeds: run with PARAPET_FUZZ_SEEDS=DIRECTORY once to have them written there.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "tests/unit/image/image_maker.hpp"
#include "vmm/image/xen_notes.hpp"

namespace {

using namespace parapet::image;

/// Takes every page below a bound, into one that is thrown away.
class ScratchSink final : public PageSink {
public:
    std::byte* page(uint64_t pfn) override { return pfn < 1U << 18 ? page_.data() : nullptr; }

private:
    std::vector<std::byte> page_ = std::vector<std::byte>(page_size);
};

void load(std::span<const std::byte> bytes) {
    LoadOptions options;
    options.max_bytes = 16U << 20;
    options.decoding = Decoding::here; // where the fuzzer and ASan see it
    const auto image = test::load_bytes(bytes, options);
    if (!image) {
        if (image.error().message.find("test.img") == std::string::npos)
            std::abort();
        return;
    }
    // What the domain builder relies on.
    uint64_t before = image->virt_start;
    for (const Segment& segment : image->segments) {
        if (segment.vaddr < before || segment.mem_size == 0 || segment.file_size > segment.mem_size ||
            segment.mem_size > image->virt_end - segment.vaddr)
            std::abort();
        before = segment.vaddr + segment.mem_size;
    }
    if (image->virt_base > image->virt_start || image->entry < image->virt_start || image->entry >= image->virt_end ||
        image->virt_end - image->virt_base > options.max_bytes)
        std::abort();
    ScratchSink sink;
    if (!image->copy_to(sink))
        std::abort();
}

void write_seeds(const std::string& directory) {
    const auto write = [&](const std::string& name, char kind, const test::Bytes& bytes) {
        std::ofstream file{directory + "/" + name, std::ios::binary};
        file.put(kind).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    };
    const test::Bytes elf = test::linux_elf(600).build();
    write("elf", 0, elf);
    write("elf-in-bzimage", 3, elf);
    write("elf32", 0, test::elf32(test::linux_notes()));
    write("legacy", 0,
          test::elf_with_section("__xen_guest", SHT_PROGBITS,
                                 test::bytes_of("GUEST_OS=Mini-OS,XEN_VER=xen-3.0,VIRT_BASE=0x0,HYPERCALL_PAGE=0x0,"
                                                "ELF_PADDR_OFFSET=0x0,LOADER=generic"),
                                 test::Bytes(200, std::byte{1})));
    write("notes", 1, test::linux_notes());
    for (const Compression compression : test::all_compressions) {
        const std::string name{name_of(compression)};
        write(name, 0, test::compress(compression, elf));
        write("bzimage-" + name, 0, test::bzimage_of(compression, elf));
    }
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    if (const char* directory = std::getenv("PARAPET_FUZZ_SEEDS"))
        write_seeds(directory);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0)
        return 0;
    // A copy of its own, so that ASan sees every byte too far.
    const std::vector<std::byte> bytes{reinterpret_cast<const std::byte*>(data) + 1,
                                       reinterpret_cast<const std::byte*>(data) + size};
    switch (data[0] % 4) {
    case 1: {
        XenNotes notes;
        (void)parse_notes(bytes, notes).ok();
        break;
    }
    case 2: {
        XenNotes notes;
        (void)parse_guest_section({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, notes).ok();
        break;
    }
    case 3: // inside a bzImage: mutations stay in the ELF
        load(test::bzimage_of(Compression::lz4, bytes));
        break;
    default:
        load(bytes);
    }
    return 0;
}
