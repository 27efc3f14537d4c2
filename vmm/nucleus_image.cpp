// SPDX-License-Identifier: Apache-2.0
// The nucleus images that the build put into this program (nucleus_image.S.in).
#include "vmm/nucleus_loader.hpp"

extern "C" {
extern const std::byte parapet_nucleus_ring0_start[];
extern const std::byte parapet_nucleus_ring0_end[];
extern const std::byte parapet_nucleus_ring3_start[];
extern const std::byte parapet_nucleus_ring3_end[];
}

namespace parapet::vmm {

std::span<const std::byte> nucleus_image(doorbell::Home home) {
    if (home == doorbell::Home::ring3) {
        return {parapet_nucleus_ring3_start, parapet_nucleus_ring3_end};
    }
    return {parapet_nucleus_ring0_start, parapet_nucleus_ring0_end};
}

} // namespace parapet::vmm
