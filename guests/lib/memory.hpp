// SPDX-License-Identifier: Apache-2.0
// Frames, page tables and a small page allocator. Three numbers for one page: virtual address (the initial mapping puts
// pseudo-physical frame 0 at VIRT_BASE), pseudo-physical frame (pfn), machine frame (mfn, what page tables hold).
#pragma once

#include <cstddef>
#include <cstdint>

#include "guests/lib/abi.hpp"

namespace parapet::guest {

inline constexpr uint64_t page_size = 4096;
inline constexpr unsigned page_shift = 12;
inline constexpr uint64_t virt_base = 0xffffffff80000000;
inline constexpr unsigned table_entries = 512;

inline constexpr uint64_t pte_present = 1;
inline constexpr uint64_t pte_write = 1 << 1;
inline constexpr uint64_t pte_user = 1 << 2;
inline constexpr uint64_t pte_accessed = 1 << 5;
inline constexpr uint64_t pte_dirty = 1 << 6;
inline constexpr uint64_t pte_large = 1 << 7;
inline constexpr uint64_t pte_nx = 1ul << 63;
inline constexpr uint64_t pte_frame_mask = 0x000ffffffffff000;

/// Flags of a read-only and a writable page of the kernel, and of a table above it.
inline constexpr uint64_t kernel_ro = pte_present | pte_accessed | pte_dirty;
inline constexpr uint64_t kernel_rw = kernel_ro | pte_write;
inline constexpr uint64_t table_flags = pte_present | pte_write | pte_user | pte_accessed | pte_dirty;

constexpr uint64_t make_pte(uint64_t mfn, uint64_t flags) {
    return (mfn << page_shift) | flags;
}
constexpr uint64_t pte_mfn(uint64_t pte) {
    return (pte & pte_frame_mask) >> page_shift;
}
/// Index into the table of `level` (1..4) for an address.
constexpr unsigned table_index(uint64_t va, unsigned level) {
    return (va >> (page_shift + 9 * (level - 1))) & (table_entries - 1);
}

void memory_init(const start_info_t& info);

[[nodiscard]] uint64_t pfn_to_mfn(uint64_t pfn);
[[nodiscard]] uint64_t mfn_to_pfn(uint64_t mfn);
/// Replaces an entry of the initial frame list (after an exchange of memory with the hypervisor).
void set_pfn_to_mfn(uint64_t pfn, uint64_t mfn);
/// First and one-past-last address of the machine-to-physical table.
[[nodiscard]] uint64_t machphys_start();
[[nodiscard]] uint64_t machphys_end();

inline uint64_t address_of(const volatile void* at) {
    return reinterpret_cast<uint64_t>(at);
}
inline void* pfn_to_virt(uint64_t pfn) {
    return reinterpret_cast<void*>(virt_base + (pfn << page_shift));
}
inline uint64_t virt_to_pfn(const volatile void* at) {
    return (address_of(at) - virt_base) >> page_shift;
}
inline uint64_t virt_to_mfn(const volatile void* at) {
    return pfn_to_mfn(virt_to_pfn(at));
}
inline void* mfn_to_virt(uint64_t mfn) {
    return pfn_to_virt(mfn_to_pfn(mfn));
}

/// The kernel's root table, read-only to us.
[[nodiscard]] uint64_t* root_table();
/// The entry of `level` (1..4) that translates `va` under the kernel's root, or null where a level above is missing.
[[nodiscard]] uint64_t* entry_of(uint64_t va, unsigned level = 1);
/// Machine address of that entry, as mmu_update wants it; 0 where there is none.
[[nodiscard]] uint64_t entry_machine_address(uint64_t va, unsigned level = 1);

/// One mmu_update of a page-table entry at a machine address.
long write_entry(uint64_t machine_address, uint64_t value, unsigned command = MMU_NORMAL_PT_UPDATE);

/// A zeroed, writable, page-aligned page of the initial mapping. Never null: the domain is crashed when they run out.
[[nodiscard]] void* alloc_page();
/// `count` pages, contiguous in virtual and pseudo-physical space.
[[nodiscard]] void* alloc_pages(unsigned count);

long set_read_only(void* page);
long set_writable(void* page);

/// Maps `mfn` at `va`, an address outside the initial mapping, making tables as needed. 0 or -errno.
long map_page(uint64_t va, uint64_t mfn, uint64_t flags);

} // namespace parapet::guest

extern "C" {
void* memset(void* to, int value, size_t size);
void* memcpy(void* to, const void* from, size_t size);
void* memmove(void* to, const void* from, size_t size);
int memcmp(const void* a, const void* b, size_t size);
size_t strlen(const char* text);
int strcmp(const char* a, const char* b);
int strncmp(const char* a, const char* b, size_t size);
}
