// SPDX-License-Identifier: Apache-2.0
// GNTTABOP_copy between pages of the domain, each named by frame or by a grant to itself.
#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"

namespace parapet::nucleus {

namespace {

/// One end of a copy: resolve it to a frame. GNTST_*.
int16_t resolve(const Domain& domain, const abi::gnttab_copy_ptr64& end, u32 length, bool by_ref, bool to_write,
                Mfn& frame) {
    if (end.domid != abi::DOMID_SELF && !by_ref)
        return abi::GNTST_permission_denied; // a frame of another domain's
    if (!domain.is_self(end.domid))
        return abi::GNTST_bad_domain;
    if (!by_ref) {
        frame = {end.u.gmfn};
        return domain.frames.domain_owns(frame) ? abi::GNTST_okay : abi::GNTST_bad_page;
    }
    Grant grant{};
    const int16_t status = read_grant(domain, end.u.ref, to_write, grant);
    if (status != abi::GNTST_okay)
        return status;
    if (end.offset < grant.offset || end.offset + length > grant.offset + grant.length)
        return abi::GNTST_general_error;
    frame = grant.frame;
    return abi::GNTST_okay;
}

} // namespace

void copy_grant(Vcpu& vcpu, abi::gnttab_copy64& op) {
    Domain& domain = *vcpu.domain;
    const bool source_by_ref = (op.flags & abi::GNTCOPY_source_gref) != 0;
    const bool dest_by_ref = (op.flags & abi::GNTCOPY_dest_gref) != 0;
    if (op.source.offset + op.len > PAGE_SIZE || op.dest.offset + op.len > PAGE_SIZE) {
        op.status = abi::GNTST_bad_copy_arg;
        return;
    }
    Mfn source;
    Mfn dest;
    op.status = resolve(domain, op.source, op.len, source_by_ref, false, source);
    if (op.status == abi::GNTST_okay)
        op.status = resolve(domain, op.dest, op.len, dest_by_ref, true, dest);
    if (op.status != abi::GNTST_okay)
        return;
    // Only a frame that may be writable now is written: never a page table.
    if (acquire_type(vcpu, dest, FrameType::writable) != 0) {
        op.status = abi::GNTST_permission_denied;
        return;
    }
    u8 piece[256]; // the two ranges may overlap within one frame
    auto* to = static_cast<u8*>(domain.machine->frame(dest)) + op.dest.offset;
    const auto* from = static_cast<const u8*>(domain.machine->frame(source)) + op.source.offset;
    for (u32 done = 0; done < op.len;) {
        const u32 length = min_of<u32>(op.len - done, sizeof(piece));
        copy_bytes(piece, from + done, length);
        copy_bytes(to + done, piece, length);
        done += length;
    }
    release_type(vcpu, dest, FrameType::writable);
}

} // namespace parapet::nucleus
