// SPDX-License-Identifier: Apache-2.0
#include "vmm/nucleus_loader.hpp"

#include <algorithm>
#include <cstring>

namespace parapet::vmm {

namespace {

using namespace doorbell;

constexpr std::uint64_t first_frame = 16; // below it nothing: a stray zero is no address of ours
constexpr std::uint64_t scattered_frames =
    4096; // what the nucleus's frames are drawn from; untouched ones cost nothing
constexpr std::uint64_t pool_frames = 128;
constexpr std::uint64_t area_frames = AREA_END / page_size;
constexpr std::uint64_t hot_tables = (vcpu_area_va(MAX_VCPUS) - NUCLEUS_VA + 512 * page_size - 1) / page_size / 512;

static_assert(NUCLEUS_VA + NUCLEUS_IMAGE_MAX <= BOOT_INFO_VA && BOOT_INFO_VA + sizeof(BootInfo) <= IDT_VA &&
              IDT_VA + page_size <= MAILBOX_VA && MAILBOX_VA + sizeof(Mailbox) <= VCPU_AREA_VA &&
              vcpu_area_va(MAX_VCPUS) <= FRAME_TABLE_VA && AREA_INFO + page_size <= VCPU_AREA_SIZE);

std::uint64_t pages_for(std::uint64_t bytes) {
    return (bytes + page_size - 1) / page_size;
}

/// Returns the image's first frame.
std::uint64_t load_image(const GuestRam& ram, FrameAllocator& frames, TableBuilder& tables,
                         std::span<const std::byte> image, const ImageHeader& header) {
    const std::uint64_t pages = pages_for(header.image_end - NUCLEUS_VA);
    const std::uint64_t text_pages = pages_for(header.text_end - NUCLEUS_VA);
    const std::uint64_t mfn = frames.take(pages);
    std::memcpy(ram.frame(mfn), image.data(), image.size());
    tables.map(NUCLEUS_VA, mfn, text_pages, pte::text);
    tables.map(NUCLEUS_VA + text_pages * page_size, mfn + text_pages, pages - text_pages, pte::data);
    return mfn;
}

std::uint64_t flat_descriptor(std::uint64_t access, std::uint64_t flags) {
    return 0xffffULL | access << 40 | 0xfULL << 48 | flags << 52;
}

/// The nucleus's page of a vCPU's GDT window: the ABI's flat segments, our own, TSS and LDT.
void fill_gdt(std::uint64_t* gdt, std::uint64_t tss_va) {
    const auto at = [gdt](std::uint16_t selector) -> std::uint64_t& { return gdt[(selector & 0xfff) / 8]; };
    constexpr std::uint64_t long_mode = 0xa, big = 0xc;
    at(NUCLEUS_CS) = flat_descriptor(0x9b, long_mode);
    at(NUCLEUS_DS) = flat_descriptor(0x93, big);
    at(0xe020) = flat_descriptor(0xfb, big);       // FLAT_RING3_CS32
    at(0xe028) = flat_descriptor(0xf3, big);       // FLAT_RING3_DS, SS
    at(0xe030) = flat_descriptor(0xfb, long_mode); // FLAT_RING3_CS64
    constexpr std::uint64_t tss_limit = 0x67, busy_tss = 0x8b;
    at(NUCLEUS_TSS) = tss_limit | (tss_va & 0xffffff) << 16 | busy_tss << 40 | (tss_va >> 24 & 0xff) << 56;
    at(NUCLEUS_TSS + 8) = tss_va >> 32;
}

void fill_tss(std::byte* tss, std::uint64_t area) {
    const std::uint64_t rsp0 = area + AREA_ENTRY_END;
    const std::uint64_t ist[] = {area + AREA_IST_END, area + AREA_NMI_END, area + AREA_DEBUG_END,
                                 area + AREA_FAULT_END};
    const std::uint16_t no_bitmap = 0x68;
    std::memcpy(tss + 0x04, &rsp0, sizeof(rsp0));
    std::memcpy(tss + 0x24, ist, sizeof(ist));
    std::memcpy(tss + 0x66, &no_bitmap, sizeof(no_bitmap));
}

/// mov %rsp, Regs::rsp(%rip); lea Regs::rsp(%rip), %rsp; jmp entry. Only RIP tells a vCPU's SYSCALL where its area is.
void write_syscall_stub(std::byte* stub, std::uint64_t stub_va, std::uint64_t area, std::uint64_t entry) {
    const std::uint64_t saved_rsp = area + AREA_ENTRY_END - 16;
    const auto relative = [](std::uint64_t to, std::uint64_t next) { return static_cast<std::int32_t>(to - next); };
    const std::uint8_t store[] = {0x48, 0x89, 0x25}, load[] = {0x48, 0x8d, 0x25}, jump[] = {0xe9};
    const std::int32_t to_store = relative(saved_rsp, stub_va + 7), to_load = relative(saved_rsp, stub_va + 14),
                       to_entry = relative(entry, stub_va + 19);
    std::memcpy(stub, store, 3);
    std::memcpy(stub + 3, &to_store, 4);
    std::memcpy(stub + 7, load, 3);
    std::memcpy(stub + 10, &to_load, 4);
    std::memcpy(stub + 14, jump, 1);
    std::memcpy(stub + 15, &to_entry, 4);
}

/// `image`: the image's first byte.
void write_syscall_stubs(std::byte* image, unsigned vcpu, const ImageHeader& header) {
    const std::uint64_t stub = syscall_stub_va(header, vcpu);
    std::byte* code = image + (stub - NUCLEUS_VA);
    write_syscall_stub(code, stub, vcpu_area_va(vcpu), header.syscall_entry);
    write_syscall_stub(code + SYSCALL32_STUB_OFFSET, stub + SYSCALL32_STUB_OFFSET, vcpu_area_va(vcpu),
                       header.syscall32_entry);
}

/// `mfn`: the area's first frame. `gate_mfn`: frame of the image's gate page, 0 where the home has none.
void build_area(const GuestRam& ram, TableBuilder& tables, unsigned vcpu, std::uint64_t mfn, std::uint64_t gate_mfn,
                std::uint64_t zero_mfn) {
    const std::uint64_t va = vcpu_area_va(vcpu);
    tables.map(va, mfn, area_frames, pte::data);
    fill_gdt(ram.frame_as<std::uint64_t>(mfn + AREA_GDT / page_size), va + AREA_TSS);
    fill_tss(ram.frame(mfn) + AREA_TSS, va);
    if (gate_mfn != 0) {
        tables.map(gate_va(vcpu), gate_mfn, 1, pte::text);
        tables.map(gate_va(vcpu) + page_size, mfn + AREA_GATE / page_size, 1, pte::rodata);
    }
    for (std::uint64_t window = AREA_GDT_WINDOW; window < AREA_WINDOWS_END; window += page_size) {
        tables.map(va + window, zero_mfn, 1, pte::rodata);
    }
    // The nucleus's descriptors have their accessed bits: the processor writes none.
    tables.map(va + AREA_GDT_WINDOW + 14 * page_size, mfn + AREA_GDT / page_size, 1, pte::rodata);
}

std::uint64_t entry_of(const ImageHeader& header, std::uint64_t vector) {
    const std::uint64_t own = vector == 0    ? header.divide_entry
                              : vector == 3  ? header.breakpoint_entry
                              : vector == 14 ? header.page_fault_entry
                                             : 0;
    return own != 0 ? own : header.vector_stubs + vector * STUB_SIZE;
}

/// Which stack of the TSS's a vector is taken on (fill_tss), 0: RSP0 from ring 3, the running one at ring 0.
std::uint64_t ist_of(const ImageHeader& header, std::uint64_t vector) {
    switch (vector) {
    case 8:
        return 1;
    case 2:
    case 18:
        return 2;
    case 1:
        return 3;
    default:
        return vector < 64 && (header.fault_stack_vectors >> vector & 1) != 0 ? 4 : 0;
    }
}

void build_idt(std::uint64_t* idt, const ImageHeader& header) {
    for (std::uint64_t vector = 0; vector < 256; vector++) {
        const std::uint64_t target = entry_of(header, vector);
        const std::uint64_t ist = ist_of(header, vector);
        const std::uint64_t dpl = vector == 3 || vector == 4 ? 3 : 0; // what user code may raise by instruction
        idt[vector * 2] = (target & 0xffff) | static_cast<std::uint64_t>(NUCLEUS_CS) << 16 | ist << 32 |
                          (0x8eULL | dpl << 5) << 40 | (target >> 16 & 0xffff) << 48;
        idt[vector * 2 + 1] = target >> 32;
    }
}

/// What of the nucleus the core reaches by frame number.
struct ReachedFrames {
    std::uint64_t shared_info_mfn, pool_first_mfn, m2p_slot;
};

/// The directmap: the domain's memory, and of the nucleus's no more than is written for the guest (shared_info, grant
/// frames) and, to be read only, the root and the tables of the guest's m2p. So no number of a frame, however it came
/// about, leads a write to code, descriptors, stacks or tables of the hole. Returns the first frame of the domain, in
/// order of RAM.
std::uint64_t map_memory(const GuestRam& ram, FrameAllocator& frames, TableBuilder& tables,
                         const ReachedFrames& reached) {
    const MachineLayout& layout = ram.layout();
    const auto map = [&](std::uint64_t mfn, std::uint64_t count, std::uint64_t flags) {
        tables.map(DIRECTMAP_VA + mfn * page_size, mfn, count, flags);
    };
    map(reached.shared_info_mfn, 1, pte::data);
    map(reached.pool_first_mfn, pool_frames, pte::data);
    map(tables.root(), 1, pte::rodata);
    for (const std::uint64_t mfn : tables.table_frames(reached.m2p_slot)) {
        map(mfn, 1, pte::rodata);
    }
    // Some of the window's own tables may have no place among the scattered frames.
    const std::uint64_t window_tables = layout.end() / 512 / 512 + 16;
    const std::uint64_t domain_first = (frames.next() + window_tables + 511) / 512 * 512;
    tables.map_window(DIRECTMAP_VA, domain_first, layout.low_end(), pte::data);
    tables.map_window(DIRECTMAP_VA, MachineLayout::high_start, std::max(layout.end(), MachineLayout::high_start),
                      pte::data);
    return domain_first;
}

} // namespace

std::uint64_t nucleus_frames(std::uint64_t domain_frames) {
    // Frame table, m2p and host use take 18 bytes a frame, the directmap's tables 8 bytes per 2 MiB and the tables for
    // all those about 1/512 of that; the gap below 4 GiB has entries too. The rest is fixed. The domain begins with a
    // 2 MiB page of the directmap.
    const std::uint64_t entries = domain_frames + (domain_frames > MachineLayout::max_low_frames / 2 ? 262144 : 0);
    const std::uint64_t per_frame = entries * 18 / page_size;
    const std::uint64_t needed = first_frame + scattered_frames + per_frame + per_frame / 64 + entries / 512 / 512 * 2 +
                                 pages_for(CHANNEL_TABLE_SIZE) + 1024;
    return (needed + 511) / 512 * 512;
}

NucleusPlace load_nucleus(const GuestRam& ram, const NucleusRequest& request) {
    const MachineLayout& layout = ram.layout();
    NucleusPlace place;
    const std::span<const std::byte> image = nucleus_image(request.home);
    std::memcpy(&place.header, image.data(), sizeof(place.header));

    ram.keep_small(nucleus_frames(0)); // but for the tables that grow with the domain, which are written densely
    FrameAllocator frames{first_frame, scattered_frames, request.seed};
    TableBuilder tables{ram, frames};
    place.stub_root_mfn = tables.root();
    const std::uint64_t nucleus_l1 = frames.take(hot_tables);
    for (std::uint64_t i = 0; i < hot_tables; i++) {
        tables.set_l1(NUCLEUS_VA + i * 512 * page_size, nucleus_l1 + i);
    }
    tables.map(AREA_TABLES_VA, nucleus_l1, hot_tables, pte::data);
    const std::uint64_t image_mfn = load_image(ram, frames, tables, image, place.header);
    const std::uint64_t gate_mfn =
        place.header.gate_text == 0 ? 0 : image_mfn + (place.header.gate_text - NUCLEUS_VA) / page_size;

    const std::uint64_t boot_mfn = frames.take(pages_for(sizeof(BootInfo)));
    tables.map(BOOT_INFO_VA, boot_mfn, pages_for(sizeof(BootInfo)), pte::rodata);
    const std::uint64_t mailbox_mfn = frames.take(pages_for(sizeof(Mailbox)));
    tables.map(MAILBOX_VA, mailbox_mfn, pages_for(sizeof(Mailbox)), pte::data);
    const std::uint64_t idt_mfn = frames.take();
    tables.map(IDT_VA, idt_mfn, 1, pte::rodata);
    build_idt(ram.frame_as<std::uint64_t>(idt_mfn), place.header);

    const std::uint64_t zero_mfn = frames.take();
    place.first_area_mfn = frames.take(request.nr_vcpus * area_frames);
    for (unsigned vcpu = 0; vcpu < request.nr_vcpus; vcpu++) {
        write_syscall_stubs(ram.frame(image_mfn), vcpu, place.header);
        build_area(ram, tables, vcpu, place.first_area_mfn + vcpu * area_frames, gate_mfn, zero_mfn);
    }

    const std::uint64_t word_pages = pages_for(layout.end() * sizeof(std::uint64_t));
    const std::uint64_t table_mfn = frames.take(word_pages);
    tables.map(FRAME_TABLE_VA, table_mfn, word_pages, pte::data);
    const std::uint64_t m2p_mfn = frames.take(word_pages);
    tables.map(M2P_WRITABLE_VA, m2p_mfn, word_pages, pte::data);
    tables.map(slot_va(request.m2p_slot), m2p_mfn, word_pages, pte::rodata);
    const std::uint64_t use_pages = pages_for(layout.end() * sizeof(HostUse));
    const std::uint64_t use_mfn = frames.take(use_pages);
    tables.map(HOST_USE_VA, use_mfn, use_pages, pte::data);
    // Guest RAM: a page of it is backed once a port in it is opened.
    const std::uint64_t channel_pages = pages_for(CHANNEL_TABLE_SIZE);
    tables.map(CHANNEL_TABLE_VA, frames.take(channel_pages), channel_pages, pte::data);
    place.shared_info_mfn = frames.take();
    const std::uint64_t pool = frames.take(pool_frames);
    const std::uint64_t core_root = frames.take();
    const std::uint64_t domain_first = map_memory(ram, frames, tables, {place.shared_info_mfn, pool, request.m2p_slot});

    // Only the guest's view of the m2p is for ring 3; all else of the hole is the nucleus's.
    for (const std::uint64_t slot : {NUCLEUS_SLOT, DIRECTMAP_SLOT}) {
        tables.set_slot_flags(slot, pte::user, 0);
    }

    std::memcpy(ram.frame(core_root), ram.frame(place.stub_root_mfn), page_size);
    for (const std::uint64_t slot : {NUCLEUS_SLOT, DIRECTMAP_SLOT}) {
        ram.frame_as<std::uint64_t>(core_root)[slot] |= pte::user;
    }
    place.domain_first = domain_first;
    place.boot = ram.frame_as<BootInfo>(boot_mfn);
    place.mailbox = ram.frame_as<Mailbox>(mailbox_mfn);
    place.m2p = ram.frame_as<std::uint64_t>(m2p_mfn);
    place.frame_table = ram.frame_as<std::uint64_t>(table_mfn);
    place.host_use = ram.frame_as<HostUse>(use_mfn);
    place.max_mfn = layout.end();
    place.domain_first_mfn = layout.mfn_of(place.domain_first);

    BootInfo& boot = *place.boot;
    boot.magic = BOOT_MAGIC;
    boot.size = sizeof(BootInfo);
    boot.max_mfn = place.max_mfn;
    boot.m2p_va = slot_va(request.m2p_slot);
    boot.low_end_mfn = layout.low_end();
    boot.high_start_mfn = MachineLayout::high_start;
    boot.domain_first_mfn = place.domain_first_mfn;
    boot.core_root_mfn = core_root;
    boot.stub_root_mfn = place.stub_root_mfn;
    boot.zero_mfn = zero_mfn;
    boot.pool_first_mfn = pool;
    boot.pool_end_mfn = pool + pool_frames;
    boot.home = request.home;
    boot.nr_vcpus = request.nr_vcpus;
    boot.domain.shared_info_mfn = place.shared_info_mfn;
    return place;
}

} // namespace parapet::vmm
