// SPDX-License-Identifier: Apache-2.0
// A running domain as its control socket sees it.
#include "iorings/xenstore/domain_tree.hpp"
#include "vmm/running_domain.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>

namespace parapet::vmm {

namespace {

const std::string& home() {
    static const std::string path = "/local/domain/" + std::to_string(guest_domid);
    return path;
}

} // namespace

control::LifeFacts RunningDomain::facts() const {
    control::LifeFacts facts;
    facts.domid = guest_domid;
    facts.maximum_bytes = config_.memory_bytes;
    // The nucleus's word, so it is bounded; nothing before it began.
    const std::uint64_t owned = std::atomic_ref{place_.mailbox->counters.frames_owned}.load(std::memory_order_relaxed);
    facts.memory_bytes =
        owned == 0 ? config_.memory_bytes : std::min(owned, config_.memory_bytes / page_size) * page_size;
    facts.target_bytes = config_.memory_bytes;
    if (const auto target = store_.read(home() + "/memory/target")) {
        std::uint64_t kib = 0;
        (void)std::from_chars(target->data(), target->data() + target->size(), kib);
        facts.target_bytes = kib << 10;
    }
    facts.uptime_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    facts.reboots = config_.reboots;
    facts.kernel = config_.boot.label();
    facts.shutting_down = shutting_down_ || shutdown_asked_;
    return facts;
}

Result<void> RunningDomain::ask_shutdown(std::string_view how) {
    if (!guest_heeds_shutdown(how)) {
        return Error{"the guest of domain '" + config_.name + "' does not heed requests to " + std::string{how} +
                     " (control/feature-" + std::string{how} + "; it may not have got so far): 'parapet destroy " +
                     config_.name + "' ends it"};
    }
    auto asked = xenstore::request_shutdown(store_, xenstore::DomId{guest_domid}, how);
    shutdown_asked_ = shutdown_asked_ || asked.ok();
    return asked;
}

void RunningDomain::destroy() {
    constexpr int killed = 128 + SIGKILL; // what a shell says of a process that was ended so
    end(DomainResult::End::left, killed, "domain '" + config_.name + "' was destroyed");
}

Result<void> RunningDomain::set_memory_target(std::uint64_t bytes) {
    return store_.write(home() + "/memory/target", std::to_string(bytes >> 10));
}

std::size_t RunningDomain::type(std::span<const char> bytes) {
    return console_->type(bytes);
}

} // namespace parapet::vmm
