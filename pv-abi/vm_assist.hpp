// SPDX-License-Identifier: Apache-2.0
// vm_assist: behaviour that a guest switches on.
// Source: xen/include/public/xen.h.
#pragma once

namespace parapet::abi {

inline constexpr unsigned VMASST_CMD_enable = 0;
inline constexpr unsigned VMASST_CMD_disable = 1;
inline constexpr unsigned VMASST_TYPE_4gb_segments = 0;
inline constexpr unsigned VMASST_TYPE_4gb_segments_notify = 1;
inline constexpr unsigned VMASST_TYPE_writable_pagetables = 2;
inline constexpr unsigned VMASST_TYPE_pae_extended_cr3 = 3;
inline constexpr unsigned VMASST_TYPE_architectural_iopl = 4;
inline constexpr unsigned VMASST_TYPE_runstate_update_flag = 5;
inline constexpr unsigned VMASST_TYPE_m2p_strict = 32;

} // namespace parapet::abi
