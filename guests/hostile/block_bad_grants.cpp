// SPDX-License-Identifier: Apache-2.0
// Grants that grant nothing, or what is not ours to give: wild references, foreign and freed frames, page tables; and
// grants whose frames change their nature while a read into them is under way.
// needs: disk 4M
// needs: disk 4M
// log: vbd/51712|xvda
#include "guests/hostile/abuse.hpp"

#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/cpu.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

Abuse abuse{"block_bad_grants"};
constexpr uint64_t table_sectors = 256; ///< where the disk holds entries that would be worth having in a page table

void post(uint8_t operation, grant_ref_t ref, uint64_t sector = 64) {
    if (abuse.stopped()) {
        abuse.recover("bad grants");
    }
    const blkif_request_segment segment{ref, 0, 7};
    abuse.victim.post(0, operation, 3, sector, &segment, 1);
    abuse.victim.queue().push();
}

/// For reading (a write to the disk) and for writing.
void refused_both(const char* what, grant_ref_t ref) {
    for (const uint8_t operation : {uint8_t{BLKIF_OP_READ}, uint8_t{BLKIF_OP_WRITE}}) {
        post(operation, ref);
        abuse.must_refuse(what);
    }
}

void refused_entry(const char* what, uint16_t flags, domid_t domid, uint64_t mfn) {
    const grant_ref_t ref = grant_reserve();
    grant_overwrite(ref, flags, domid, mfn);
    refused_both(what, ref);
    abuse.check(grant_end(ref), "%s: still in use", what);
}

void references() {
    for (const grant_ref_t ref : {grant_ref_t{0xffffffff}, grant_ref_t{0x80000000}, grant_ref_t{100'000},
                                  grant_ref_t{grant_frames * 512}, grant_reserve()}) {
        refused_both("a reference that grants nothing", ref);
    }
    const uint64_t own = virt_to_mfn(abuse.buffer->bytes());
    refused_entry("granted to another domain", GTF_permit_access, 7, own);
    refused_entry("granted to ourselves", GTF_permit_access, DOMID_SELF, own);
    refused_entry("a transfer", GTF_accept_transfer, 0, own);
    refused_entry("an entry of no type", GTF_readonly, 0, own);
}

/// The nucleus's, the shared information page, our grant table, frames that do not exist.
void foreign_frames() {
    for (const uint64_t mfn : {0ul, 1ul, 2ul, 16ul, 0x100ul, start_info().shared_info >> page_shift, 0x40000ul,
                               0xfee00ul, 0xffffful, 0x1000000ul, 0xfffffffful}) {
        refused_entry("a foreign frame", GTF_permit_access, 0, mfn);
    }
    const uint64_t* table_entry = entry_of(0x30000000000); // guests/lib/grants.cpp maps the table there
    refused_entry("the grant table", GTF_permit_access, 0, pte_mfn(*table_entry));
}

void tables_and_rights() {
    for (unsigned level = 1; level <= 4; ++level) {
        const grant_ref_t ref = grant_frame(virt_to_mfn(entry_of(virt_base, level)), false);
        post(BLKIF_OP_READ, ref);
        abuse.must_refuse("read into a page table");
        abuse.check(grant_end(ref), "a page table is still in use");
    }
    const grant_ref_t read_only = grant_page(abuse.buffer->bytes(), true);
    post(BLKIF_OP_READ, read_only);
    abuse.must_refuse("read into a read-only grant");
    abuse.check(grant_end(read_only), "a read-only grant is still in use");
}

long reservation(unsigned command, uint64_t& frame) {
    xen_memory_reservation request{};
    set_xen_guest_handle(request.extent_start, &frame);
    request.nr_extents = 1;
    request.domid = DOMID_SELF;
    return memory_op(command, &request);
}

/// Gives the page's frame back to the hypervisor. False: it was refused, and is there as before.
bool balloon_out(void* page) {
    uint64_t frame = virt_to_mfn(page);
    update_va_mapping(address_of(page), 0);
    if (reservation(XENMEM_decrease_reservation, frame) == 1) {
        return true;
    }
    set_writable(page);
    return false;
}

void balloon_in(void* page) {
    uint64_t frame = virt_to_pfn(page);
    abuse.check(reservation(XENMEM_populate_physmap, frame) == 1, "no memory where there was some");
    set_pfn_to_mfn(virt_to_pfn(page), frame);
    abuse.check(set_writable(page) == 0, "mapping of new memory");
}

void freed() {
    void* page = alloc_page();
    const uint64_t mfn = virt_to_mfn(page);
    if (abuse.check(balloon_out(page), "a frame not given back")) {
        const grant_ref_t ref = grant_frame(mfn, false);
        post(BLKIF_OP_READ, ref);
        abuse.must_refuse("read into a frame given back");
        abuse.check(grant_end(ref), "a frame given back is still in use");
        balloon_in(page);
    }
}

/// A read into nine pages of which the last one is `page`, under way when it returns: for longer in each round, as the
/// backend takes its time to begin.
void start_read(void* page, grant_ref_t& ref, unsigned round) {
    blkif_request_segment segments[9];
    abuse.buffer->segments(segments, 9, false);
    ref = grant_page(page);
    segments[8].gref = ref;
    abuse.victim.post(0, BLKIF_OP_READ, 4, table_sectors, segments, 9);
    abuse.victim.queue().push();
    for (const uint64_t end = now_ns() + round * 8'000; now_ns() < end;) {
        cpu_relax();
    }
}

void end_read(const char* what, grant_ref_t ref) {
    blkif_response_t response{};
    abuse.check(abuse.victim.queue().take(response, 2'000) || abuse.stopped(), "%s: no answer", what);
    abuse.check(grant_end(ref), "%s: still in use", what);
    abuse.check(abuse.buffer->end_grants(), "%s: its neighbours are still in use", what);
}

void ballooned_in_flight() {
    unsigned given = 0;
    void* page = alloc_page();
    for (unsigned round = 0; round < 16; ++round) {
        grant_ref_t ref;
        start_read(page, ref, round);
        const bool out = balloon_out(page);
        end_read("a frame given back in flight", ref);
        if (out) {
            ++given;
            balloon_in(page);
        }
    }
    print("info: %u of 16 frames given back in flight\n", given);
}

bool all_zero(const uint64_t* table) {
    compiler_barrier();
    uint64_t any = 0;
    for (unsigned i = 0; i < table_entries; ++i) {
        any |= table[i];
    }
    return any == 0;
}

/// The disk holds writable mappings of our root table there; none of them may come to stand in a page table.
void table_in_flight() {
    for (unsigned i = 0; i < 9 * table_entries; ++i) {
        abuse.buffer->words()[i] = make_pte(virt_to_mfn(root_table()), table_flags);
    }
    abuse.check(transfer(abuse.victim, BLKIF_OP_WRITE, table_sectors, *abuse.buffer, 9) == BLKIF_RSP_OKAY,
                "the poison");
    unsigned pinned = 0;
    auto* page = static_cast<uint64_t*>(alloc_page());
    for (unsigned round = 0; round < 24; ++round) {
        memset(page, 0, page_size);
        grant_ref_t ref;
        start_read(page, ref, round);
        abuse.check(set_read_only(page) == 0, "a read-only mapping");
        const bool table = mmuext_mfn(MMUEXT_PIN_L1_TABLE, virt_to_mfn(page)) == 0;
        pinned += table ? 1 : 0;
        const bool clean = all_zero(page);
        end_read("a frame that becomes a page table in flight", ref);
        abuse.check(!table || (clean && all_zero(page)), "the disk's bytes stand in a page table");
        if (table) {
            abuse.check(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(page)) == 0, "unpin");
        }
        abuse.check(set_writable(page) == 0, "a writable mapping again");
    }
    print("info: %u of 24 frames became page tables in flight\n", pinned);
}

/// The entry vanishes, or names another frame, while its frame is used.
void revoked_in_flight() {
    void* page = alloc_page();
    for (unsigned round = 0; round < 16; ++round) {
        grant_ref_t ref;
        start_read(page, ref, round);
        if (round % 2 == 0) {
            grant_overwrite(ref, 0, 0, 0);
        } else {
            grant_overwrite(ref, GTF_permit_access, 0, virt_to_mfn(root_table()));
        }
        blkif_response_t response{};
        abuse.check(abuse.victim.queue().take(response, 2'000) || abuse.stopped(),
                    "a grant revoked by force: no answer");
        grant_overwrite(ref, 0, 0, 0); // whatever marks are left are of our own making
        abuse.check(grant_end(ref) && abuse.buffer->end_grants(), "a grant revoked by force: still in use");
    }
}

/// Our own ring as the place where the disk's bytes go.
void into_the_ring() {
    const grant_ref_t ref = grant_page(abuse.victim.queue().ring.sring);
    post(BLKIF_OP_READ, ref, table_sectors);
    abuse.settle(200);
    abuse.recover("a read into the ring");
    abuse.check(grant_end(ref), "the ring is still in use");
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        references();
        foreign_frames();
        tables_and_rights();
        freed();
        abuse.recover("bad grants");
        table_in_flight();
        abuse.recover("page tables in flight");
        ballooned_in_flight();
        abuse.recover("frames given back in flight");
        revoked_in_flight();
        abuse.recover("grants revoked in flight");
        into_the_ring();
    }
    return abuse.finish();
}

} // namespace parapet::guest
