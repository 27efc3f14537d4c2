// SPDX-License-Identifier: Apache-2.0
// The parts of grant_table_op. Dom0 is the vmm, which reads the table's pages itself; the only other peer that a domain
// has is itself. So whatever maps, copies or unmaps here ends at the domain's own grants.
#pragma once

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "pv-abi/grant_table.hpp"

namespace parapet::nucleus {

/// What a grant entry lets its peer do.
struct Grant {
    Mfn frame;
    u32 first, end; ///< bytes of the page: all, but for a sub-page grant
    bool part;      ///< it is a sub-page grant
    bool writable;
};

/// GNTST_* for a reference of domain 0, which is there, with a table of one frame, and grants nothing.
[[nodiscard]] inline int16_t use_of_host_grant(u32 ref) {
    return ref < PAGE_SIZE / sizeof(abi::grant_entry_v1) ? abi::GNTST_general_error : abi::GNTST_bad_gntref;
}

// grant_entries.cpp
inline constexpr u32 GRANTS_PER_FRAME_V1 = PAGE_SIZE / sizeof(abi::grant_entry_v1);
inline constexpr u32 GRANTS_PER_FRAME_V2 = PAGE_SIZE / sizeof(abi::grant_entry_v2);
inline constexpr u32 STATUS_PER_FRAME = PAGE_SIZE / sizeof(abi::grant_status_t);

[[nodiscard]] u32 grant_entries(const GrantTable& table);
[[nodiscard]] abi::grant_entry_v1& entry_v1(const Domain& domain, u32 ref);
[[nodiscard]] abi::grant_entry_v2& entry_v2(const Domain& domain, u32 ref);
[[nodiscard]] abi::grant_status_t& entry_status(const Domain& domain, u32 ref);
/// What the domain grants to itself by `ref`. GNTST_*.
[[nodiscard]] int16_t read_grant(const Domain& domain, u32 ref, bool to_write, Grant& grant);
/// Show in the entry whether its peer is reading and writing.
void mark_grant(const Domain& domain, u32 ref, bool reading, bool writing);
/// Is `ref` mapped, by any handle?
[[nodiscard]] bool grant_is_mapped(const GrantTable& table, u32 ref);
/// Is somebody, the host perhaps, marked as using `ref`?
[[nodiscard]] bool grant_is_marked(const Domain& domain, u32 ref);
/// Exchange two entries. Neither is in use, so they come out unmarked.
void swap_grants(Domain& domain, u32 left, u32 right);

// grant_version.cpp
/// While one exists, the host begins no use of a grant: entries and version may change (doorbell.hpp: GrantInfo).
class GrantChange {
public:
    explicit GrantChange(Domain& domain);
    GrantChange(const GrantChange&) = delete;
    GrantChange& operator=(const GrantChange&) = delete;
    ~GrantChange();
    /// Has the host any grant in use from before?
    [[nodiscard]] bool host_uses_any() const;

private:
    doorbell::GrantInfo& info_;
};
[[nodiscard]] Status set_grant_version(Domain& domain, u32 version);
/// Make the table `frames` frames long, with the status frames that its version needs.
[[nodiscard]] bool grow_grant_table(Domain& domain, u32 frames);
[[nodiscard]] u32 max_grant_frames(const GrantTable& table);
/// The table as a domain finds it: one frame, the rings granted to domain 0. MFN 0: there is no such ring.
void start_grant_table(Domain& domain, Mfn console, Mfn store);

// grant_map.cpp, grant_copy.cpp, grant_transfer.cpp: one element of an array. The status goes into it.
void map_grant(Vcpu& vcpu, abi::gnttab_map_grant_ref& op);
void unmap_grant(Vcpu& vcpu, abi::gnttab_unmap_grant_ref& op);
void unmap_and_replace_grant(Vcpu& vcpu, abi::gnttab_unmap_and_replace& op);
void copy_grant(Vcpu& vcpu, abi::gnttab_copy64& op);
void transfer_frame(Vcpu& vcpu, abi::gnttab_transfer64& op);

} // namespace parapet::nucleus
