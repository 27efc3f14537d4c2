// SPDX-License-Identifier: Apache-2.0
// What a freestanding compiler may call on its own account (C++ standard, [compliance]; GCC manual, "Standards").
#include "hypercall-emu/core/types.hpp"

extern "C" {

void* memcpy(void* destination, const void* source, size_t bytes) {
    parapet::nucleus::copy_bytes(destination, source, bytes);
    return destination;
}

void* memset(void* destination, int value, size_t bytes) {
    parapet::nucleus::fill_bytes(destination, static_cast<parapet::nucleus::u8>(value), bytes);
    return destination;
}

} // extern "C"
