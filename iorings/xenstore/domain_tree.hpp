// SPDX-License-Identifier: Apache-2.0
// The tree below /local/domain/N (and /vm, /local/domain/0) as Xen's toolstack makes it for a PV guest, so that guests
// find what they look for with the permissions they expect.
#pragma once

#include "iorings/xenstore/store.hpp"
#include "support/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace parapet::xenstore {

/// Values of the tree. Ring references are machine frame numbers, as in start_info.
struct DomainTreeConfig {
    DomId domid{1};
    std::string name;
    std::string uuid; ///< textual, 8-4-4-4-12
    std::uint64_t memory_target_kib = 0;
    std::uint64_t memory_max_kib = 0;
    unsigned vcpus = 1; ///< cpu/K/availability exists for K < max_vcpus, "online" for K < vcpus
    unsigned max_vcpus = 1;

    std::uint64_t console_ring_ref = 0;
    std::uint32_t console_port = 0;
    std::uint32_t console_limit = 1048576; ///< bytes of output kept for a slow reader
    std::string console_type = "xenconsoled";
    std::string console_tty; ///< empty: not a terminal

    std::uint64_t store_ring_ref = 0;
    std::uint32_t store_port = 0;

    std::string kernel; ///< /vm/UUID/image/...: for tools, optional
    std::string ramdisk;
    std::string cmdline;
};

/// Makes the tree, replacing an older one of the same domain, and introduces the domain.
Result<void> build_domain_tree(Store& store, const DomainTreeConfig& config);
/// Removes what build_domain_tree() made and releases the domain.
void remove_domain_tree(Store& store, const DomainTreeConfig& config);

/// Writes control/shutdown: `reason` is poweroff, reboot, halt, suspend or crash.
Result<void> request_shutdown(Store& store, DomId domid, std::string_view reason);

/// The decimal the guest wrote to data/exit-code, if it is one from 0 to 255.
[[nodiscard]] std::optional<int> exit_code(const Store& store, DomId domid);

} // namespace parapet::xenstore
