// SPDX-License-Identifier: Apache-2.0
// Lays the nucleus out in the VM's memory: image, areas of the vCPUs, descriptor tables, frame table, hole page tables.
#pragma once

#include "pv-abi/doorbell.hpp"
#include "pv-abi/nucleus_image.hpp"
#include "support/result.hpp"
#include "vmm/guest_ram.hpp"
#include "vmm/nucleus_tables.hpp"

#include <cstdint>
#include <span>

namespace parapet::vmm {

/// The nucleus's flat image of a home, as built into this program.
[[nodiscard]] std::span<const std::byte> nucleus_image(doorbell::Home home);

/// Where things came to lie.
struct NucleusPlace {
    doorbell::ImageHeader header{};
    doorbell::BootInfo* boot = nullptr; ///< to be completed by the domain builder
    doorbell::Mailbox* mailbox = nullptr;
    std::uint64_t* m2p = nullptr;
    const std::uint64_t* frame_table = nullptr; ///< one word per MFN below max_mfn (pv-abi/frame_word.hpp)
    doorbell::HostUse* host_use = nullptr;      ///< likewise
    std::uint64_t max_mfn = 0;
    std::uint64_t domain_first_mfn = 0; ///< no frame below it is the domain's
    std::uint64_t stub_root_mfn = 0;
    std::uint64_t shared_info_mfn = 0;
    std::uint64_t first_area_mfn = 0; ///< of vCPU 0's area; the others follow, AREA_END bytes each
    std::uint64_t domain_first = 0;   ///< first frame of RAM (by order, not MFN) that is the domain's
};

struct NucleusRequest {
    doorbell::Home home = doorbell::Home::ring0;
    std::uint64_t m2p_slot = doorbell::M2P_SLOT_ABI;
    unsigned nr_vcpus = 1;
    std::uint64_t seed = 0; ///< of where the nucleus's frames come to lie: to be drawn at random for each start
};

/// Frames of RAM that the nucleus needs for a domain of `domain_frames`.
[[nodiscard]] std::uint64_t nucleus_frames(std::uint64_t domain_frames);
[[nodiscard]] NucleusPlace load_nucleus(const GuestRam& ram, const NucleusRequest& request);

/// Where a vCPU's SYSCALL arrives: LSTAR; CSTAR is SYSCALL32_STUB_OFFSET behind it.
[[nodiscard]] constexpr std::uint64_t syscall_stub_va(const doorbell::ImageHeader& header, unsigned vcpu) {
    return header.syscall_stubs + vcpu * doorbell::SYSCALL_STUB_SIZE;
}

/// The vCPU's system-call gate (home ring3).
[[nodiscard]] constexpr std::uint64_t gate_va(unsigned vcpu) {
    return doorbell::GATE_VA + vcpu * doorbell::GATE_SIZE;
}

} // namespace parapet::vmm
