// SPDX-License-Identifier: Apache-2.0
// Makes ELF kernels and bzImages.
#include "tests/unit/image/image_maker.hpp"

#include <algorithm>
#include <cstring>

#include "vmm/image/byte_source.hpp"

namespace parapet::image::test {
namespace {

template <typename T>
void put(Bytes& to, size_t at, const T& value) {
    std::memcpy(to.data() + at, &value, sizeof value);
}

/// Text-like bytes from a small generator: no compressor shrinks them to nothing, none fails to.
Bytes kernel_text(size_t size) {
    Bytes bytes(size);
    uint32_t state = 12345;
    for (auto& b : bytes) {
        state = state * 1664525 + 1013904223;
        b = static_cast<std::byte>((state >> 24) & ((state >> 16) % 3 == 0 ? 0xff : 0x0f));
    }
    return bytes;
}

} // namespace

Bytes bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
}

void append(Bytes& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

Bytes raw_note(std::string_view owner, uint32_t type, std::span<const std::byte> desc) {
    Bytes note;
    Elf64_Nhdr header{};
    header.n_namesz = static_cast<uint32_t>(owner.size() + 1);
    header.n_descsz = static_cast<uint32_t>(desc.size());
    header.n_type = type;
    append_value(note, header);
    append(note, bytes_of(owner));
    note.resize((note.size() + 1 + 3) / 4 * 4);
    append(note, desc);
    note.resize((note.size() + 3) / 4 * 4);
    return note;
}

Bytes string_note(uint32_t type, std::string_view text) {
    Bytes desc = bytes_of(text);
    desc.push_back(std::byte{0});
    return raw_note("Xen", type, desc);
}

Bytes number_note(uint32_t type, uint64_t value, size_t width) {
    return raw_note("Xen", type, std::as_bytes(std::span{&value, 1}).first(width));
}

Bytes linux_notes() {
    Bytes notes = raw_note("GNU", 3, bytes_of("build-id"));
    append(notes, string_note(6, "linux"));
    append(notes, string_note(7, "2.6"));
    append(notes, string_note(5, "xen-3.0"));
    append(notes, string_note(8, "generic"));
    append(notes, number_note(3, linux_base));
    append(notes, number_note(15, 0x8000000000));
    append(notes, number_note(1, linux_base + 0x1000040));
    append(notes, number_note(2, linux_base + 0x1001000));
    append(notes, string_note(10, "!writable_page_tables|pae_pgdir_above_4gb|!from_the_future"));
    append(notes, number_note(17, 0x8800, 4));
    append(notes, string_note(9, "yes"));
    append(notes, number_note(14, 1, 4));
    append(notes, number_note(16, 1, 4));
    append(notes, number_note(12, 0xffff800000000000));
    append(notes, number_note(4, 0));
    Bytes pair;
    append_value(pair, uint64_t{1});
    append_value(pair, uint64_t{1});
    append(notes, raw_note("Xen", 13, pair));
    append(notes, number_note(18, 0x1000850, 4));
    return notes;
}

ElfMaker::ElfMaker() {
    std::memcpy(ehdr.e_ident, ELFMAG, SELFMAG);
    ehdr.e_ident[EI_CLASS] = ELFCLASS64;
    ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
    ehdr.e_ident[EI_VERSION] = EV_CURRENT;
    ehdr.e_type = ET_EXEC;
    ehdr.e_machine = EM_X86_64;
    ehdr.e_version = EV_CURRENT;
    ehdr.e_phoff = sizeof ehdr;
    ehdr.e_ehsize = sizeof ehdr;
    ehdr.e_phentsize = sizeof(Elf64_Phdr);
}

ElfMaker& ElfMaker::load(uint64_t paddr, Bytes content, uint64_t mem_size) {
    Elf64_Phdr header{};
    header.p_type = PT_LOAD;
    header.p_flags = PF_R | PF_W | PF_X;
    header.p_paddr = paddr;
    header.p_vaddr = 0x1234000; // Xen does not look at it
    header.p_filesz = content.size();
    header.p_memsz = mem_size == 0 ? content.size() : mem_size;
    parts.push_back({header, std::move(content)});
    return *this;
}

ElfMaker& ElfMaker::note(Bytes content) {
    Elf64_Phdr header{};
    header.p_type = PT_NOTE;
    header.p_filesz = content.size();
    parts.push_back({header, std::move(content)});
    return *this;
}

Bytes ElfMaker::build() {
    if (!keep_offsets) {
        ehdr.e_phnum = static_cast<uint16_t>(parts.size());
        uint64_t at = sizeof ehdr + parts.size() * sizeof(Elf64_Phdr);
        for (Part& part : parts) {
            part.header.p_offset = at;
            at += part.content.size();
        }
    }
    Bytes file;
    append_value(file, ehdr);
    for (const Part& part : parts)
        append_value(file, part.header);
    for (const Part& part : parts)
        append(file, part.content);
    return file;
}

ElfMaker linux_elf(size_t size) {
    Bytes text = kernel_text(size);
    Bytes holes(20'000); // zero pages between
    append(holes, bytes_of("the end of data"));
    ElfMaker maker;
    const uint64_t data_at = 0x1000000 + (size + 0x10ff) / 0x1000 * 0x1000 + 0x230;
    maker.load(0x1000000, std::move(text)).load(data_at, std::move(holes), 60'000).note(linux_notes());
    return maker;
}

Bytes elf_with_section(const std::string& name, uint32_t type, const Bytes& content, Bytes loaded) {
    ElfMaker maker;
    maker.load(0, std::move(loaded));
    Bytes file = maker.build();
    Bytes names = bytes_of(std::string{"\0.shstrtab\0", 11} + name);
    names.push_back(std::byte{0});
    Elf64_Shdr sections[3]{};
    sections[1].sh_name = 1;
    sections[1].sh_type = SHT_STRTAB;
    sections[1].sh_offset = file.size();
    sections[1].sh_size = names.size();
    append(file, names);
    sections[2].sh_name = 11;
    sections[2].sh_type = type;
    sections[2].sh_offset = file.size();
    sections[2].sh_size = content.size();
    append(file, content);
    maker.ehdr.e_shoff = file.size();
    maker.ehdr.e_shnum = 3;
    maker.ehdr.e_shentsize = sizeof(Elf64_Shdr);
    maker.ehdr.e_shstrndx = 1;
    append_value(file, sections);
    put(file, 0, maker.ehdr);
    return file;
}

Bytes elf32(const Bytes& notes) {
    Elf32_Ehdr ehdr{};
    std::memcpy(ehdr.e_ident, ELFMAG, SELFMAG);
    ehdr.e_ident[EI_CLASS] = ELFCLASS32;
    ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
    ehdr.e_type = ET_EXEC;
    ehdr.e_machine = EM_386;
    ehdr.e_phoff = sizeof ehdr;
    ehdr.e_phentsize = sizeof(Elf32_Phdr);
    ehdr.e_phnum = 2;
    Elf32_Phdr headers[2]{};
    headers[0].p_type = PT_LOAD;
    headers[0].p_flags = PF_R | PF_X;
    headers[0].p_offset = 0;
    headers[0].p_filesz = 64;
    headers[0].p_memsz = 4096;
    headers[1].p_type = PT_NOTE;
    headers[1].p_offset = sizeof ehdr + sizeof headers;
    headers[1].p_filesz = static_cast<uint32_t>(notes.size());
    Bytes file;
    append_value(file, ehdr);
    append_value(file, headers);
    append(file, notes);
    return file;
}

Bytes bzimage(Bytes payload, uint32_t unpacked_size, bool add_tail, std::string_view version) {
    constexpr size_t setup_sectors = 3;
    constexpr uint32_t stub = 0x2a0; // decompressor code before the payload
    Bytes file((setup_sectors + 1) * 512 + stub);
    file[0x1f1] = std::byte{setup_sectors};
    put(file, 0x1fe, uint16_t{0xaa55});
    std::memcpy(file.data() + 0x202, "HdrS", 4);
    put(file, 0x206, uint16_t{0x020f});
    put(file, 0x20e, uint16_t{0x300});
    std::memcpy(file.data() + 0x500, version.data(), version.size());
    if (add_tail)
        append_value(payload, unpacked_size);
    put(file, 0x248, stub);
    put(file, 0x24c, static_cast<uint32_t>(payload.size()));
    append(file, payload);
    file.resize(file.size() + 100); // more decompressor code
    return file;
}

Bytes bzimage_of(Compression compression, std::span<const std::byte> elf) {
    return bzimage(compress(compression, elf), static_cast<uint32_t>(elf.size()), compression != Compression::gzip,
                   "6.1.0-test (me@here) #1 SMP");
}

std::byte* MapSink::page(uint64_t pfn) {
    if (pfn >= limit_)
        return nullptr;
    Bytes& page = pages[pfn];
    page.resize(page_size);
    return page.data();
}

Bytes MapSink::read(uint64_t address, size_t size) const {
    Bytes bytes(size);
    for (size_t i = 0; i < size; ++i)
        if (const auto found = pages.find((address + i) / page_size); found != pages.end())
            bytes[i] = found->second[(address + i) % page_size];
    return bytes;
}

Result<KernelImage> load_bytes(std::span<const std::byte> bytes, const LoadOptions& options) {
    return load_image("test.img", std::make_shared<const MemorySource>(bytes), options);
}

} // namespace parapet::image::test
