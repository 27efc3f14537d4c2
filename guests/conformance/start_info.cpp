// SPDX-License-Identifier: Apache-2.0
// What a domain finds at boot: start_info, frame list, M2P, its page tables read-only.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "start_info";

void test() {
    const start_info_t& info = start_info();
    expect(strncmp(info.magic, "xen-3.", 6) == 0, "magic is not xen-3.*");
    expect(info.nr_pages > 0, "nr_pages is 0");
    expect(info.nr_pt_frames > 0, "nr_pt_frames is 0");
    expect((info.pt_base & (page_size - 1)) == 0, "pt_base is not page-aligned");
    expect((info.mfn_list & (page_size - 1)) == 0, "mfn_list is not page-aligned");
    for (uint64_t pfn = 0; pfn < info.nr_pages; ++pfn) {
        const uint64_t mfn = pfn_to_mfn(pfn);
        if (!expect(mfn_to_pfn(mfn) == pfn, "frame %lx: mfn %lx maps back to %lx", pfn, mfn, mfn_to_pfn(mfn))) {
            break;
        }
    }
    for (uint64_t i = 0; i < info.nr_pt_frames; ++i) {
        const uint64_t va = info.pt_base + i * page_size;
        const uint64_t* pte = entry_of(va);
        if (expect(pte != nullptr, "page table page %lx is not mapped", va)) {
            expect((*pte & pte_write) == 0, "page table page %lx is mapped writable", va);
        }
    }
    // The initial mapping: at least 512 KiB after the boot stack, and every frame where it should be.
    const uint64_t tables_end = info.pt_base + info.nr_pt_frames * page_size;
    for (uint64_t va = virt_base; va < tables_end + 0x80000; va += page_size) {
        if (va == address_of(&shared_info())) {
            continue; // ours since the start of the runtime
        }
        const uint64_t* pte = entry_of(va);
        const bool mapped = pte != nullptr && (*pte & pte_present) != 0;
        if (!expect(mapped && pte_mfn(*pte) == virt_to_mfn(reinterpret_cast<void*>(va)), "initial mapping of %lx",
                    va)) {
            break;
        }
    }
    expect(info.shared_info != 0 && (info.shared_info & (page_size - 1)) == 0, "shared_info is %lx", info.shared_info);
    expect(this_vcpu().evtchn_upcall_mask == 1, "events are not masked at boot");
}

} // namespace parapet::guest
