// SPDX-License-Identifier: Apache-2.0
// Runs the vmm's probe for the doctor, on any KVM: how programs enter ring 0.
#include "tools/parapet/doctor/doctor.hpp"
#include "vmm/substrate_probe.hpp"

namespace parapet::cli::doctor {

EntryFacts probe_entries() {
    constexpr std::chrono::seconds limit{10};
    const auto system = vmm::KvmSystem::open();
    if (!system) {
        return {}; // which the other checks say
    }
    const auto found = vmm::run_probe(*system, limit);
    if (!found) {
        return {.tried = true, .error = found.error().message};
    }
    return {.tried = true, .stopped_by = found->ways.stopped_by, .ts_ignored = found->ways.ts_ignored};
}

} // namespace parapet::cli::doctor
