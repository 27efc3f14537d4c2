// SPDX-License-Identifier: Apache-2.0
// Setting an SSE register, which holds the guest's value while the nucleus runs (it uses general registers only).
#pragma once

#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

/// All ones in the low `bytes` (4, 8 or 16) of SSE register `number`, zeroes above. False: not such a size.
inline bool set_vector_ones(unsigned number, unsigned bytes) {
    if (bytes != 4 && bytes != 8 && bytes != 16)
        return false;
    switch (number & 15) {
// The compiler is told to know no SSE register, so each has an instruction of its own.
#define ONES_IN(n)                                                                                                     \
    case n:                                                                                                            \
        asm volatile("pcmpeqd %xmm" #n ", %xmm" #n);                                                                   \
        if (bytes == 8)                                                                                                \
            asm volatile("psrldq $8, %xmm" #n);                                                                        \
        else if (bytes == 4)                                                                                           \
            asm volatile("psrldq $12, %xmm" #n);                                                                       \
        return true;
        ONES_IN(0)
        ONES_IN(1)
        ONES_IN(2)
        ONES_IN(3)
        ONES_IN(4)
        ONES_IN(5)
        ONES_IN(6)
        ONES_IN(7)
        ONES_IN(8)
        ONES_IN(9)
        ONES_IN(10)
        ONES_IN(11)
        ONES_IN(12)
        ONES_IN(13)
        ONES_IN(14)
        ONES_IN(15)
#undef ONES_IN
    default:
        return false;
    }
}

} // namespace parapet::nucleus
