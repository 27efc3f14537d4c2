// SPDX-License-Identifier: Apache-2.0
// Page-table updates: mmu_update, mmuext_op, update_va_mapping.
// Source: xen/include/public/xen.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

// mmu_update: the low two bits of ptr.
inline constexpr unsigned MMU_NORMAL_PT_UPDATE = 0;
inline constexpr unsigned MMU_MACHPHYS_UPDATE = 1;
inline constexpr unsigned MMU_PT_UPDATE_PRESERVE_AD = 2;
inline constexpr unsigned MMU_PT_UPDATE_NO_TRANSLATE = 3;

struct mmu_update {
    uint64_t ptr; // machine address of the entry, | MMU_*
    uint64_t val; // new contents of the entry
};
static_assert(sizeof(mmu_update) == 16);

// mmuext_op: cmd.
inline constexpr unsigned MMUEXT_PIN_L1_TABLE = 0;
inline constexpr unsigned MMUEXT_PIN_L2_TABLE = 1;
inline constexpr unsigned MMUEXT_PIN_L3_TABLE = 2;
inline constexpr unsigned MMUEXT_PIN_L4_TABLE = 3;
inline constexpr unsigned MMUEXT_UNPIN_TABLE = 4;
inline constexpr unsigned MMUEXT_NEW_BASEPTR = 5;
inline constexpr unsigned MMUEXT_TLB_FLUSH_LOCAL = 6;
inline constexpr unsigned MMUEXT_INVLPG_LOCAL = 7;
inline constexpr unsigned MMUEXT_TLB_FLUSH_MULTI = 8;
inline constexpr unsigned MMUEXT_INVLPG_MULTI = 9;
inline constexpr unsigned MMUEXT_TLB_FLUSH_ALL = 10;
inline constexpr unsigned MMUEXT_INVLPG_ALL = 11;
inline constexpr unsigned MMUEXT_FLUSH_CACHE = 12;
inline constexpr unsigned MMUEXT_SET_LDT = 13;
inline constexpr unsigned MMUEXT_NEW_USER_BASEPTR = 15;
inline constexpr unsigned MMUEXT_CLEAR_PAGE = 16;
inline constexpr unsigned MMUEXT_COPY_PAGE = 17;
inline constexpr unsigned MMUEXT_FLUSH_CACHE_GLOBAL = 18;
inline constexpr unsigned MMUEXT_MARK_SUPER = 19;
inline constexpr unsigned MMUEXT_UNMARK_SUPER = 20;

template <typename W>
struct mmuext_op_t {
    uint32_t cmd; // MMUEXT_*
    union {
        W mfn;         // [UN]PIN_TABLE, NEW_BASEPTR, NEW_USER_BASEPTR, CLEAR_PAGE, COPY_PAGE, [UN]MARK_SUPER
        W linear_addr; // INVLPG_LOCAL, INVLPG_ALL, SET_LDT
    } arg1;
    union {
        uint32_t nr_ents; // SET_LDT
        W vcpumask;       // TLB_FLUSH_MULTI, INVLPG_MULTI: guest pointer to a bitmap of vCPUs
        W src_mfn;        // COPY_PAGE
    } arg2;
};
using mmuext_op64 = mmuext_op_t<uint64_t>;
using mmuext_op32 = mmuext_op_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(mmuext_op64) == 24);
static_assert(sizeof(mmuext_op32) == 12);

// update_va_mapping: flags; with UVMF_MULTI a guest pointer to a bitmap of vCPUs is ORed in.
inline constexpr uint64_t UVMF_NONE = 0;
inline constexpr uint64_t UVMF_TLB_FLUSH = 1;
inline constexpr uint64_t UVMF_INVLPG = 2;
inline constexpr uint64_t UVMF_FLUSHTYPE_MASK = 3;
inline constexpr uint64_t UVMF_MULTI = 0 << 2;
inline constexpr uint64_t UVMF_LOCAL = 0 << 2;
inline constexpr uint64_t UVMF_ALL = 1 << 2;

} // namespace parapet::abi
