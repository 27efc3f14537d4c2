// SPDX-License-Identifier: Apache-2.0
// Builds the initial domain: kernel, initrd, P2M, start info, console and store pages, and initial page tables, as the
// ABI describes them (Xen public headers: xen.h, "start of day memory layout").
#pragma once

#include "support/result.hpp"
#include "vmm/guest_ram.hpp"
#include "vmm/image/initrd.hpp"
#include "vmm/image/kernel_image.hpp"
#include "vmm/nucleus_loader.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace parapet::vmm {

struct DomainRequest {
    std::uint64_t pages = 0; ///< initial reservation
    std::string cmdline;
    std::uint64_t shuffle = 0; ///< seed of the order of machine frames, 0: the usual one
    std::uint32_t domid = 1;
    std::uint32_t store_port = 1;
    std::uint32_t console_port = 2;
};

struct BuiltDomain {
    std::uint64_t store_mfn = 0;
    std::uint64_t console_mfn = 0;
};

/// Writes everything into `ram` and completes `place.boot->domain`. Error: the image does not fit.
Result<BuiltDomain> build_domain(const GuestRam& ram, NucleusPlace& place, const image::KernelImage& kernel,
                                 const image::Initrd& initrd, const DomainRequest& request);

} // namespace parapet::vmm
