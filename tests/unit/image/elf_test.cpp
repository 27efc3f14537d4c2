// SPDX-License-Identifier: Apache-2.0
// Plain ELF kernels: what is read from them, where they land, and what is refused.
#include <functional>

#include <gtest/gtest.h>

#include "tests/unit/image/image_maker.hpp"

namespace parapet::image::test {
namespace {

/// The message of a refused file; empty if it was accepted.
std::string refusal(std::span<const std::byte> bytes, const LoadOptions& options = {}) {
    const auto image = load_bytes(bytes, options);
    return image ? "" : image.error().message;
}

void expect_refusal(std::span<const std::byte> bytes, std::string_view part) {
    const std::string message = refusal(bytes);
    EXPECT_NE(message.find(part), std::string::npos) << "got: " << message;
    EXPECT_NE(message.find("test.img"), std::string::npos) << message;
    EXPECT_NE(message.find("; "), std::string::npos) << "no remedy: " << message;
}

TEST(Elf, ReadsEveryNote) {
    const Bytes file = linux_elf().build();
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_FALSE(image->is_bzimage);
    EXPECT_EQ(image->compression, Compression::none);
    EXPECT_EQ(image->notes.guest_os, "linux");
    EXPECT_EQ(image->notes.guest_version, "2.6");
    EXPECT_EQ(image->notes.xen_version, "xen-3.0");
    EXPECT_EQ(image->notes.loader, "generic");
    EXPECT_EQ(image->entry, linux_base + 0x1000040);
    EXPECT_EQ(image->virt_base, linux_base);
    EXPECT_EQ(image->paddr_offset, 0U);
    EXPECT_EQ(image->hypercall_page, linux_base + 0x1001000);
    EXPECT_EQ(image->init_p2m, 0x8000000000U);
    EXPECT_EQ(image->hv_start_low, 0xffff800000000000U);
    EXPECT_EQ(image->notes.phys32_entry, 0x1000850U);
    EXPECT_TRUE(image->notes.suspend_cancel);
    EXPECT_TRUE(image->notes.mod_start_pfn);
    EXPECT_FALSE(image->notes.bsd_symtab);
    EXPECT_EQ(image->notes.pae_mode, PaeMode::yes);
    ASSERT_EQ(image->notes.l1_mfn_valid.size(), 1U);
    EXPECT_EQ(image->notes.l1_mfn_valid[0].mask, 1U);
    EXPECT_EQ(image->notes.features.required, 1U << 0);
    EXPECT_EQ(image->notes.features.supported, 1U << 0 | 1U << 4 | 0x8800U);
    EXPECT_EQ(image->notes.features.unknown, std::vector<std::string>{"!from_the_future"});
}

TEST(Elf, LiesWhereXenWouldPutIt) {
    const Bytes file = linux_elf(300'000).build();
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    ASSERT_EQ(image->segments.size(), 2U);
    EXPECT_EQ(image->segments[0].vaddr, linux_base + 0x1000000);
    EXPECT_EQ(image->virt_start, linux_base + 0x1000000);
    EXPECT_EQ(image->virt_end, image->segments[1].vaddr + 60'000);
    EXPECT_EQ(image->first_pfn(), 0x1000U);
    EXPECT_EQ(image->end_pfn(), (image->virt_end - linux_base + 4095) / 4096);
}

TEST(Elf, CopiesOnlyWhatIsNotZero) {
    ElfMaker maker = linux_elf(300'000);
    const Bytes file = maker.build();
    const auto image = load_bytes(file);
    ASSERT_TRUE(image);
    MapSink sink;
    ASSERT_TRUE(image->copy_to(sink));
    for (size_t i = 0; i < 2; ++i) {
        const Segment& segment = image->segments[i];
        EXPECT_EQ(sink.read(segment.vaddr - linux_base, segment.mem_size), [&] {
            Bytes expected = maker.parts[i].content;
            expected.resize(segment.mem_size);
            return expected;
        }());
    }
    const uint64_t text_pages = (300'000 + 4095) / 4096;
    EXPECT_EQ(sink.pages.size(), text_pages + 1) << "zero pages and bss must not be asked for";
}

TEST(Elf, CopySaysWhenMemoryIsTooSmall) {
    const Bytes file = linux_elf().build();
    const auto image = load_bytes(file);
    ASSERT_TRUE(image);
    MapSink sink{0x1004};
    const auto copied = image->copy_to(sink);
    ASSERT_FALSE(copied);
    EXPECT_NE(copied.error().message.find("--memory"), std::string::npos);
}

TEST(Elf, CopyAfterReleaseFails) {
    const Bytes file = linux_elf().build();
    auto image = load_bytes(file);
    ASSERT_TRUE(image);
    image->release();
    MapSink sink;
    EXPECT_FALSE(image->copy_to(sink));
    EXPECT_EQ(image->entry, linux_base + 0x1000040);
}

TEST(Elf, DefaultsWithoutEntryAndBase) {
    Bytes notes = string_note(6, "Mini-OS");
    append(notes, string_note(8, "generic"));
    append(notes, string_note(5, "xen-3.0"));
    ElfMaker maker;
    maker.load(0, Bytes(5000, std::byte{1})).note(notes);
    maker.ehdr.e_entry = 0x10;
    const Bytes file = maker.build();
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->entry, 0x10U);
    EXPECT_EQ(image->virt_base, 0U);
    EXPECT_EQ(image->virt_end, 5000U);
    EXPECT_FALSE(image->hypercall_page);
}

TEST(Elf, PaddrOffsetMovesTheImage) {
    Bytes notes = string_note(8, "generic");
    append(notes, string_note(5, "xen-3.0"));
    append(notes, number_note(3, 0xffffffff80000000));
    append(notes, number_note(4, 0xffffffff80000000));
    append(notes, number_note(1, 0xffffffff80200000));
    ElfMaker maker;
    maker.load(0xffffffff80200000, Bytes(5000, std::byte{1})).note(notes);
    const Bytes file = maker.build();
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->virt_start, 0xffffffff80200000U);
    EXPECT_EQ(image->first_pfn(), 0x200U);
}

TEST(Elf, LegacyGuestSection) {
    const Bytes file =
        elf_with_section("__xen_guest", SHT_PROGBITS,
                         bytes_of("GUEST_OS=Mini-OS,XEN_VER=xen-3.0,VIRT_BASE=0x0,ELF_PADDR_OFFSET=0x0,"
                                  "HYPERCALL_PAGE=0x2,LOADER=generic,FEATURES=!writable_page_tables|dom0"),
                         Bytes(20'000, std::byte{7}));
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_TRUE(image->notes.legacy);
    EXPECT_EQ(image->notes.guest_os, "Mini-OS");
    EXPECT_EQ(image->hypercall_page, 0x2000U);
    EXPECT_EQ(image->notes.features.supported, 1U << 0 | 1U << 11);
    expect_refusal(elf_with_section("__xen_guest", SHT_PROGBITS, bytes_of("VIRT_BASE=nonsense"), Bytes(100)),
                   "not a number");
}

TEST(Elf, NotesInASectionOnly) {
    Bytes notes = string_note(8, "generic");
    append(notes, string_note(5, "xen-3.0"));
    const auto image = load_bytes(elf_with_section(".note.Xen", SHT_NOTE, notes, Bytes(5000, std::byte{1})));
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_FALSE(image->notes.legacy);
}

TEST(Elf, FindsTheVersionOfAVmlinux) {
    Bytes text(3'000'000);
    append(text, bytes_of("Linux version %s\n"));
    append(text, bytes_of("Linux version 5.10.0-9 (a@b) #1\n"));
    ElfMaker maker;
    maker.load(0x1000000, std::move(text)).note(linux_notes());
    const Bytes file = maker.build();
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->kernel_version, "5.10.0-9");
    EXPECT_EQ(image->version_text, "5.10.0-9 (a@b) #1");
}

TEST(Elf, RefusesWhatIsNoPvKernel) {
    expect_refusal(bytes_of("just some text, longer than any header of a kernel could be"), "is not a kernel");
    expect_refusal(bytes_of("x"), "is not a kernel");
    expect_refusal(bytes_of("\xff\xd8\xff\xe0 JFIF"), "is not a kernel");
    expect_refusal(bytes_of("070701000000"), "--initrd");
    expect_refusal(bytes_of("MZ and so on"), "EFI");
    expect_refusal(elf32(linux_notes()), "is a 32-bit PV kernel, which this version does not yet support");
    expect_refusal(elf32({}), "not a Xen PV kernel");

    ElfMaker plain;
    plain.load(0, Bytes(100));
    expect_refusal(plain.build(), "no Xen notes");

    Bytes pvh = string_note(6, "linux");
    append(pvh, number_note(3, linux_base));
    append(pvh, number_note(18, 0x1000850, 4));
    expect_refusal(ElfMaker{}.load(0x1000000, Bytes(100)).note(pvh).build(), "not built with CONFIG_XEN_PV");

    Bytes other = string_note(5, "xen-4.0");
    append(other, string_note(8, "generic"));
    expect_refusal(ElfMaker{}.load(0, Bytes(100)).note(other).build(), "xen-4.0");

    Bytes loader = string_note(5, "xen-3.0");
    append(loader, string_note(8, "mine"));
    expect_refusal(ElfMaker{}.load(0, Bytes(100)).note(loader).build(), "loader 'mine'");
}

struct Absurd {
    const char* name;
    std::function<void(ElfMaker&)> change;
    const char* part;
};

TEST(Elf, RefusesAbsurdHeaders) {
    const Absurd cases[] = {
        {"phoff", [](ElfMaker& m) { m.ehdr.e_phoff = 0xfffffffffffffff0; }, "truncated"},
        {"phoff past end", [](ElfMaker& m) { m.ehdr.e_phoff = 1U << 30; }, "truncated"},
        {"phentsize", [](ElfMaker& m) { m.ehdr.e_phentsize = 8; }, "headers of 8 bytes"},
        {"phnum 0", [](ElfMaker& m) { m.keep_offsets = true; }, "no program headers"},
        {"phnum", [](ElfMaker& m) { m.keep_offsets = true, m.ehdr.e_phnum = 0xffff; }, "65535 program headers"},
        {"relocatable", [](ElfMaker& m) { m.ehdr.e_type = ET_REL; }, "not an executable"},
        {"big endian", [](ElfMaker& m) { m.ehdr.e_ident[EI_DATA] = ELFDATA2MSB; }, "little-endian"},
        {"class", [](ElfMaker& m) { m.ehdr.e_ident[EI_CLASS] = 9; }, "neither 32-bit nor 64-bit"},
        {"machine", [](ElfMaker& m) { m.ehdr.e_machine = EM_AARCH64; }, "another kind of processor"},
        {"filesz > memsz", [](ElfMaker& m) { m.parts[0].header.p_memsz = 5; }, "more bytes in the file"},
        {"filesz", [](ElfMaker& m) { m.parts[0].header.p_filesz = m.parts[0].header.p_memsz = 1U << 30; },
         "beyond the file's end"},
        {"filesz huge", [](ElfMaker& m) { m.parts[0].header.p_filesz = m.parts[0].header.p_memsz = UINT64_MAX; },
         "beyond the file's end"},
        {"wraps", [](ElfMaker& m) { m.parts[1].header.p_memsz = UINT64_MAX - 0x1000; }, "wraps around"},
        {"overlap", [](ElfMaker& m) { m.parts[1].header.p_paddr = 0x1000100; }, "overlap"},
        {"no load", [](ElfMaker& m) { m.parts[0].header.p_type = m.parts[1].header.p_type = PT_NULL; },
         "no loadable segment"},
        {"far apart", [](ElfMaker& m) { m.parts[1].header.p_memsz = 2ULL << 30; }, "range for a guest"},
        {"too large", [](ElfMaker& m) { m.parts[1].header.p_memsz = 0x7e000000; }, "more than the 1024 MiB"},
        {"below base",
         [](ElfMaker& m) {
             m.parts[2].content = linux_notes(), append(m.parts[2].content, number_note(3, linux_base + 0x10)),
             m.parts[2].header.p_filesz = m.parts[2].content.size();
         },
         "not at the start of a page"},
        {"note too long", [](ElfMaker& m) { m.parts[2].header.p_filesz = 1U << 30; }, "notes of"},
        {"note beyond", [](ElfMaker& m) { m.parts[2].header.p_filesz = 100'000; }, "beyond its end"},
        {"note cut", [](ElfMaker& m) { m.parts[2].header.p_filesz -= 4; }, "does not fit"},
    };
    for (const Absurd& absurd : cases) {
        SCOPED_TRACE(absurd.name);
        ElfMaker maker = linux_elf();
        absurd.change(maker);
        expect_refusal(maker.build(), absurd.part);
    }
}

TEST(Elf, RefusesAbsurdNotes) {
    const struct {
        Bytes note;
        const char* part;
    } cases[] = {
        {number_note(1, 0x1000), "entry point"},
        {number_note(1, UINT64_MAX), "entry point"},
        {number_note(2, linux_base + 0x1000), ""},
        {number_note(2, linux_base + 0x1000008), "hypercall page"},
        {number_note(2, 0x1000), "hypercall page"},
        {number_note(3, linux_base + 0x800), "VIRT_BASE"},
        {number_note(3, 0xffff800000000000), "no range for a guest"},
        {number_note(3, 0x00007fffff000000), "no range for a guest"},
        {number_note(3, 0xfffffffffefff000), "no range for a guest"},
        {number_note(4, 0x2000000), "above its first segment"},
        {number_note(12, UINT64_MAX), "HV_START_LOW"},
        {number_note(15, 0x8000000001), "INIT_P2M"},
        {number_note(15, 0xffff800000000000), "INIT_P2M"},
        {number_note(15, linux_base + 0x1001000), "INIT_P2M"},
        {raw_note("Xen", 1, Bytes(3)), "3-byte number"},
        {raw_note("Xen", 2, {}), "0-byte number"},
        {raw_note("Xen", 13, Bytes(15)), ""}, // not a pair: ignored
        {raw_note("Xen", 0x1000001, Bytes(100)), ""},
        {raw_note("Xenix", 1, Bytes(3)), ""},
        {raw_note("Xen", 10, Bytes(5000, std::byte{'|'})), ""},
        {raw_note("Xen", 6, Bytes(5000, std::byte{0x1b})), ""}, // not printable
    };
    for (const auto& c : cases) {
        ElfMaker maker = linux_elf();
        append(maker.parts[2].content, c.note);
        maker.parts[2].header.p_filesz = maker.parts[2].content.size();
        const Bytes file = maker.build();
        if (*c.part != '\0') {
            expect_refusal(file, c.part);
            continue;
        }
        const auto image = load_bytes(file);
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ(image->notes.guest_os.find('\x1b'), std::string::npos);
    }
}

TEST(Elf, TakesAStringNoteThatIsCutShort) {
    Bytes notes = string_note(8, "generic");
    append(notes, string_note(9, "yes")); // "yes\0", then claim four bytes more, as GRUB's image does
    notes[notes.size() - 4 - 4 - 8] = std::byte{8};
    ElfMaker maker;
    maker.load(0, Bytes(100)).note(string_note(5, "xen-3.0")).note(notes);
    const auto image = load_bytes(maker.build());
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->notes.pae_mode, PaeMode::yes);
}

TEST(Elf, RefusesPaddrOffsetWithoutBase) {
    Bytes notes = string_note(8, "generic");
    append(notes, string_note(5, "xen-3.0"));
    append(notes, number_note(4, 0));
    expect_refusal(ElfMaker{}.load(0, Bytes(100)).note(notes).build(), "no VIRT_BASE");
}

/// For what is tried a thousand times, and where ASan shall see each byte.
const LoadOptions quickly{.decoding = Decoding::here};

TEST(Elf, EveryTruncationIsRefused) {
    ElfMaker maker = linux_elf(20'000);
    const Bytes file = maker.build();
    for (size_t size = 1; size < file.size(); size += size < 700 ? 1 : 97)
        EXPECT_NE(refusal(std::span{file}.first(size), quickly), "") << size;
}

TEST(Elf, BitFlipsNeverCrash) {
    const Bytes file = linux_elf(2'000).build();
    for (size_t bit = 0; bit < file.size() * 8; bit += bit < 4000 ? 1 : 13) {
        Bytes flipped = file;
        flipped[bit / 8] ^= std::byte{1} << (bit % 8);
        const auto image = load_bytes(flipped, quickly);
        if (!image)
            continue;
        MapSink sink{0x40000};
        (void)image->copy_to(sink).ok();
    }
}

} // namespace
} // namespace parapet::image::test
