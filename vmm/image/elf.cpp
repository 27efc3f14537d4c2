// SPDX-License-Identifier: Apache-2.0
// Reads ELF headers, 64-bit and 32-bit (the latter only to say what it is), bounds first.
#include "vmm/image/elf.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <elf.h>

#include "vmm/image/little_endian.hpp"
#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

constexpr size_t most_program_headers = 256;
constexpr size_t most_sections = 16384;
constexpr uint64_t most_note_bytes = 1U << 20;
constexpr uint64_t most_names_bytes = 1U << 20;

struct Elf64 {
    using Ehdr = Elf64_Ehdr;
    using Phdr = Elf64_Phdr;
    using Shdr = Elf64_Shdr;
};
struct Elf32 {
    using Ehdr = Elf32_Ehdr;
    using Phdr = Elf32_Phdr;
    using Shdr = Elf32_Shdr;
};

Error truncated(const std::string& what) {
    return {"is a truncated ELF file: " + what + "; copy or build it again"};
}
Error broken(const std::string& what) {
    return {"is a broken ELF file: " + what + "; copy or build it again"};
}

bool inside(const ByteSource& source, uint64_t offset, uint64_t length) {
    return offset <= source.size() && length <= source.size() - offset;
}

/// Bytes of a range; nullopt if they are not in the file.
std::optional<std::vector<std::byte>> bytes_at(const ByteSource& source, uint64_t offset, uint64_t length) {
    if (!inside(source, offset, length))
        return std::nullopt;
    std::vector<std::byte> bytes(length);
    if (!source.read(offset, bytes))
        return std::nullopt;
    return bytes;
}

/// A table of program or section headers.
template <typename Header>
Result<std::vector<Header>> read_table(const ByteSource& source, uint64_t offset, size_t count, size_t most,
                                       size_t stride, const std::string& what) {
    if (stride < sizeof(Header))
        return broken(what + " headers of " + std::to_string(stride) + " bytes");
    if (count > most)
        return broken(std::to_string(count) + " " + what + " headers");
    const auto bytes = bytes_at(source, offset, uint64_t{count} * stride);
    if (!bytes)
        return truncated("its " + what + " headers lie beyond its end");
    std::vector<Header> table;
    table.reserve(count);
    for (size_t i = 0; i < count; ++i)
        table.push_back(read_le<Header>(*bytes, i * stride));
    return table;
}

Result<void> add_notes(const ByteSource& source, uint64_t offset, uint64_t length, XenNotes& notes) {
    if (length > most_note_bytes)
        return broken("notes of " + std::to_string(length) + " bytes");
    const auto bytes = bytes_at(source, offset, length);
    if (!bytes)
        return truncated("its notes lie beyond its end");
    auto parsed = parse_notes(*bytes, notes);
    return parsed ? parsed : broken("it " + parsed.error().message);
}

Segment segment_of(const auto& header) {
    return {.paddr = header.p_paddr,
            .vaddr = 0,
            .file_size = header.p_filesz,
            .mem_size = header.p_memsz,
            .offset = header.p_offset,
            .flags = header.p_flags};
}

Result<void> check_segment(const Segment& segment, uint64_t file_size) {
    const std::string name = "its segment at " + hex(segment.paddr);
    if (segment.file_size > segment.mem_size)
        return broken(name + " has more bytes in the file than in memory");
    if (segment.mem_size == 0)
        return broken(name + " is empty");
    if (segment.offset > file_size || segment.file_size > file_size - segment.offset)
        return truncated(name + " ends beyond the file's end");
    if (segment.paddr + segment.mem_size < segment.paddr)
        return broken(name + " wraps around the address space");
    return {};
}

bool is_loaded(const auto& header) {
    return header.p_type == PT_LOAD && (header.p_flags & (PF_R | PF_W | PF_X)) != 0 &&
           (header.p_memsz != 0 || header.p_filesz != 0);
}

template <typename Phdr>
Result<void> read_segments(const ByteSource& source, const std::vector<Phdr>& headers, Elf& elf) {
    for (const Phdr& header : headers) {
        Result<void> done;
        if (is_loaded(header))
            elf.segments.push_back(segment_of(header));
        else if (header.p_type == PT_NOTE)
            done = add_notes(source, header.p_offset, header.p_filesz, elf.notes);
        if (!done)
            return done;
    }
    std::ranges::sort(elf.segments, {}, &Segment::paddr);
    return check_segments(elf.segments, source.size());
}

/// Sections matter only to files without Xen notes in a PT_NOTE segment. Their own table may be damaged or cut off
/// (a stripped or appended-to file): then there are no notes in it.
template <typename Shape>
Result<void> read_sections(const ByteSource& source, const typename Shape::Ehdr& ehdr, Elf& elf) {
    using Shdr = typename Shape::Shdr;
    if (ehdr.e_shoff == 0 || ehdr.e_shnum == 0)
        return {};
    const auto sections =
        read_table<Shdr>(source, ehdr.e_shoff, ehdr.e_shnum, most_sections, ehdr.e_shentsize, "section");
    if (!sections)
        return {};
    for (const Shdr& section : *sections)
        if (section.sh_type == SHT_NOTE)
            if (auto added = add_notes(source, section.sh_offset, section.sh_size, elf.notes); !added)
                return added;
    if (elf.notes.present || ehdr.e_shstrndx >= sections->size())
        return {};
    const Shdr& names = (*sections)[ehdr.e_shstrndx];
    const auto name_bytes = bytes_at(source, names.sh_offset, std::min<uint64_t>(names.sh_size, most_names_bytes));
    if (!name_bytes)
        return {};
    for (const Shdr& section : *sections) {
        if (section.sh_name >= name_bytes->size() ||
            text_of(std::span{*name_bytes}
                        .subspan(section.sh_name)
                        .first(std::min<size_t>(16, name_bytes->size() - section.sh_name))) != "__xen_guest")
            continue;
        const auto text = bytes_at(source, section.sh_offset, std::min<uint64_t>(section.sh_size, 4096));
        if (!text || section.sh_type == SHT_NOBITS)
            return truncated("its __xen_guest section lies beyond its end");
        auto parsed = parse_guest_section(text_of(*text), elf.notes);
        return parsed ? parsed : broken("it " + parsed.error().message);
    }
    return {};
}

template <typename Shape>
Result<Elf> parse_as(const ByteSource& source) {
    const auto bytes = bytes_at(source, 0, sizeof(typename Shape::Ehdr));
    if (!bytes)
        return truncated("it ends within its header");
    const auto ehdr = read_le<typename Shape::Ehdr>(*bytes, 0);
    Elf elf;
    elf.wide = sizeof(ehdr.e_entry) == 8;
    elf.machine = ehdr.e_machine;
    elf.entry = ehdr.e_entry;
    if (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN)
        return Error{"is an ELF file, but not an executable one (its type is " + std::to_string(ehdr.e_type) +
                     "); use the linked kernel"};
    if (ehdr.e_phnum == 0 || ehdr.e_phoff == 0)
        return broken("it has no program headers");
    const auto headers = read_table<typename Shape::Phdr>(source, ehdr.e_phoff, ehdr.e_phnum, most_program_headers,
                                                          ehdr.e_phentsize, "program");
    if (!headers)
        return headers.error();
    if (auto read = read_segments(source, *headers, elf); !read)
        return read.error();
    if (!elf.notes.present)
        if (auto read = read_sections<Shape>(source, ehdr, elf); !read)
            return read.error();
    return elf;
}

} // namespace

bool is_elf(const ByteSource& source) {
    std::array<std::byte, SELFMAG> magic{};
    return source.size() >= magic.size() && source.read(0, magic) && std::memcmp(magic.data(), ELFMAG, SELFMAG) == 0;
}

Result<void> check_segments(const std::vector<Segment>& segments, uint64_t file_size) {
    if (segments.empty())
        return broken("it has no loadable segment");
    for (size_t i = 0; i < segments.size(); ++i) {
        if (auto sound = check_segment(segments[i], file_size); !sound)
            return sound;
        if (i > 0 && (segments[i].paddr < segments[i - 1].paddr ||
                      segments[i].paddr - segments[i - 1].paddr < segments[i - 1].mem_size))
            return broken("its segments at " + hex(segments[i - 1].paddr) + " and " + hex(segments[i].paddr) +
                          " overlap");
    }
    return {};
}

Result<Elf> parse_elf(const ByteSource& source) {
    const auto ident = bytes_at(source, 0, EI_NIDENT);
    if (!ident)
        return truncated("it ends within its header");
    const auto field = [&](size_t i) { return std::to_integer<unsigned>((*ident)[i]); };
    if (field(EI_DATA) != ELFDATA2LSB)
        return Error{"is not a little-endian ELF file; use a kernel for x86-64"};
    switch (field(EI_CLASS)) {
    case ELFCLASS64:
        return parse_as<Elf64>(source);
    case ELFCLASS32:
        return parse_as<Elf32>(source);
    default:
        return broken("its class is neither 32-bit nor 64-bit");
    }
}

} // namespace parapet::image
