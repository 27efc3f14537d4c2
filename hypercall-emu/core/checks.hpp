// SPDX-License-Identifier: Apache-2.0
// Checks of what a guest registers: selectors and stacks.
#pragma once

#include "hypercall-emu/core/pte.hpp"

namespace parapet::nucleus {

/// A selector that a 64-bit guest kernel runs with: always of ring 3.
constexpr u16 ring3_selector(u64 selector) {
    return static_cast<u16>(selector | 3);
}

/// Bytes below a kernel stack pointer that entries from user mode write at ring 0, without further checks.
inline constexpr u64 ENTRY_FRAME_BYTES = 128;

/// May the entry stubs write a frame below `sp`: no byte of it, nor `sp` itself, is the nucleus's or non-canonical.
constexpr bool is_safe_stack(u64 sp) {
    return sp >= ENTRY_FRAME_BYTES && is_guest_va(sp) && is_guest_va(sp - ENTRY_FRAME_BYTES) &&
           (sp < HOLE_START || sp - ENTRY_FRAME_BYTES >= HOLE_END);
}

} // namespace parapet::nucleus
