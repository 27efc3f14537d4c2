// SPDX-License-Identifier: Apache-2.0
// Frame translation, walks of the initial page tables, and a page allocator out of the image's own bss: the initial
// mapping covers the image, so its pages are mapped by 4 KiB entries and known to the frame list.
#include "guests/lib/memory.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/shutdown.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned pool_pages = 640;
alignas(page_size) unsigned char pool[pool_pages * page_size];
unsigned pool_used = 0;

uint64_t* frame_list = nullptr;
uint64_t* kernel_root = nullptr;
xen_machphys_mapping machphys{MACH2PHYS_VIRT_START, MACH2PHYS_VIRT_END, MACH2PHYS_NR_ENTRIES - 1};

/// Makes a table for the missing entry of `level` on the way to `va` and links it.
long add_table(uint64_t va, unsigned level) {
    void* table = alloc_page();
    if (const long error = set_read_only(table); error != 0) {
        return error;
    }
    return write_entry(entry_machine_address(va, level), make_pte(virt_to_mfn(table), table_flags));
}

} // namespace

void memory_init(const start_info_t& info) {
    frame_list = reinterpret_cast<uint64_t*>(info.mfn_list);
    kernel_root = reinterpret_cast<uint64_t*>(info.pt_base);
    xen_machphys_mapping answer{};
    if (memory_op(XENMEM_machphys_mapping, &answer) == 0) {
        machphys = answer;
    }
}

uint64_t machphys_start() {
    return machphys.v_start;
}

uint64_t machphys_end() {
    return machphys.v_end;
}

uint64_t pfn_to_mfn(uint64_t pfn) {
    return frame_list[pfn];
}

uint64_t mfn_to_pfn(uint64_t mfn) {
    return reinterpret_cast<const uint64_t*>(machphys.v_start)[mfn];
}

void set_pfn_to_mfn(uint64_t pfn, uint64_t mfn) {
    frame_list[pfn] = mfn;
}

uint64_t* root_table() {
    return kernel_root;
}

uint64_t* entry_of(uint64_t va, unsigned level) {
    uint64_t* table = kernel_root;
    for (unsigned at = 4; at > level; --at) {
        const uint64_t entry = table[table_index(va, at)];
        if ((entry & pte_present) == 0 || (entry & pte_large) != 0) {
            return nullptr;
        }
        table = static_cast<uint64_t*>(mfn_to_virt(pte_mfn(entry)));
    }
    return table + table_index(va, level);
}

uint64_t entry_machine_address(uint64_t va, unsigned level) {
    const uint64_t* entry = entry_of(va, level);
    return entry == nullptr ? 0 : (virt_to_mfn(entry) << page_shift) | (address_of(entry) & (page_size - 1));
}

long write_entry(uint64_t machine_address, uint64_t value, unsigned command) {
    mmu_update_t request{machine_address | command, value};
    return mmu_update(&request, 1);
}

void* alloc_pages(unsigned count) {
    if (pool_used + count > pool_pages) {
        print("guest: the page pool of %u pages is used up\n", pool_pages);
        shutdown(SHUTDOWN_crash);
    }
    void* pages = pool + pool_used * page_size;
    pool_used += count;
    return pages; // bss: zero already, and never given out twice
}

void* alloc_page() {
    return alloc_pages(1);
}

long set_read_only(void* page) {
    return update_va_mapping(address_of(page), make_pte(virt_to_mfn(page), kernel_ro));
}

long set_writable(void* page) {
    return update_va_mapping(address_of(page), make_pte(virt_to_mfn(page), kernel_rw));
}

long map_page(uint64_t va, uint64_t mfn, uint64_t flags) {
    for (unsigned level = 4; level > 1; --level) {
        if ((*entry_of(va, level) & pte_present) == 0) {
            if (const long error = add_table(va, level); error != 0) {
                return error;
            }
        }
    }
    return update_va_mapping(va, make_pte(mfn, flags));
}

} // namespace parapet::guest
