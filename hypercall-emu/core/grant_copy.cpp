// SPDX-License-Identifier: Apache-2.0
// GNTTABOP_copy between pages of the domain, each named by frame or by a grant to itself. Checked in Xen's order.
#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"

namespace parapet::nucleus {

namespace {

/// Whose frame an end names: GNTST_*.
int16_t judge_domain(const Domain& domain, const abi::gnttab_copy_ptr64& end, bool by_ref) {
    if (!domain.is_self(end.domid) && end.domid != 0)
        return abi::GNTST_bad_domain;
    const bool may_name = by_ref || end.domid == abi::DOMID_SELF; // frames are one's own, by that name only
    return may_name ? abi::GNTST_okay : abi::GNTST_permission_denied;
}

/// The frame, and what may be used of it: GNTST_*.
int16_t resolve(const Domain& domain, const abi::gnttab_copy_ptr64& end, bool by_ref, bool to_write, Grant& grant) {
    if (by_ref)
        return domain.is_self(end.domid) ? read_grant(domain, end.u.ref, to_write, grant)
                                         : use_of_host_grant(end.u.ref);
    grant = {{end.u.gmfn}, 0, PAGE_SIZE, false, true};
    return domain.frames.domain_owns(grant.frame) ? abi::GNTST_okay : abi::GNTST_bad_page;
}

int16_t judge_range(const abi::gnttab_copy_ptr64& end, u32 length, const Grant& grant) {
    return end.offset < grant.first || end.offset + length > grant.end ? abi::GNTST_general_error : abi::GNTST_okay;
}

int16_t judge_ranges(const abi::gnttab_copy64& op, const Grant& source, const Grant& dest) {
    if (op.source.offset + op.len > PAGE_SIZE || op.dest.offset + op.len > PAGE_SIZE)
        return abi::GNTST_bad_copy_arg;
    const int16_t status = judge_range(op.source, op.len, source);
    return status != abi::GNTST_okay ? status : judge_range(op.dest, op.len, dest);
}

void copy(const Domain& domain, const abi::gnttab_copy64& op, Mfn source, Mfn dest) {
    u8 piece[256]; // the two ranges may overlap within one frame
    auto* to = static_cast<u8*>(domain.machine->frame(dest)) + op.dest.offset;
    const auto* from = static_cast<const u8*>(domain.machine->frame(source)) + op.source.offset;
    for (u32 done = 0; done < op.len;) {
        const u32 length = min_of<u32>(op.len - done, sizeof(piece));
        copy_bytes(piece, from + done, length);
        copy_bytes(to + done, piece, length);
        done += length;
    }
}

} // namespace

void copy_grant(Vcpu& vcpu, abi::gnttab_copy64& op) {
    Domain& domain = *vcpu.domain;
    const bool source_by_ref = (op.flags & abi::GNTCOPY_source_gref) != 0;
    const bool dest_by_ref = (op.flags & abi::GNTCOPY_dest_gref) != 0;
    Grant source{};
    Grant dest{};
    op.status = judge_domain(domain, op.source, source_by_ref);
    if (op.status == abi::GNTST_okay)
        op.status = judge_domain(domain, op.dest, dest_by_ref);
    if (op.status == abi::GNTST_okay)
        op.status = resolve(domain, op.source, source_by_ref, false, source);
    if (op.status == abi::GNTST_okay)
        op.status = resolve(domain, op.dest, dest_by_ref, true, dest);
    if (op.status != abi::GNTST_okay)
        return;
    // Only a frame that may be writable now is written: never a page table.
    if (acquire_type(vcpu, dest.frame, FrameType::writable) != 0) {
        op.status = abi::GNTST_general_error;
        return;
    }
    op.status = judge_ranges(op, source, dest);
    if (op.status == abi::GNTST_okay)
        copy(domain, op, source.frame, dest.frame);
    release_type(vcpu, dest.frame, FrameType::writable);
}

} // namespace parapet::nucleus
