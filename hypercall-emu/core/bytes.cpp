// SPDX-License-Identifier: Apache-2.0
// Copies and fills in eight-byte steps: string instructions cost per element where ring 0 is interpreted.
#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

void copy_bytes(void* destination, const void* source, size_t bytes) {
    u8* to = static_cast<u8*>(destination);
    const u8* from = static_cast<const u8*>(source);
    while (bytes >= sizeof(u64)) {
        u64 word;
        __builtin_memcpy(&word, from, sizeof(word));
        __builtin_memcpy(to, &word, sizeof(word));
        to += sizeof(word);
        from += sizeof(word);
        bytes -= sizeof(word);
    }
    while (bytes-- > 0) {
        *to++ = *from++;
    }
}

void fill_bytes(void* destination, u8 value, size_t bytes) {
    u8* to = static_cast<u8*>(destination);
    const u64 pattern = 0x0101010101010101ULL * value;
    while (bytes >= sizeof(u64)) {
        __builtin_memcpy(to, &pattern, sizeof(pattern));
        to += sizeof(pattern);
        bytes -= sizeof(pattern);
    }
    while (bytes-- > 0) {
        *to++ = value;
    }
}

} // namespace parapet::nucleus
