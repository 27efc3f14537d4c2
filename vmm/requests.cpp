// SPDX-License-Identifier: Apache-2.0
#include "vmm/requests.hpp"

#include "pv-abi/sched.hpp"
#include "vmm/crash_report.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>

namespace parapet::vmm {

namespace {

using doorbell::Request;

DomainStop stop_for(std::uint64_t reason) {
    switch (reason) {
    case abi::SHUTDOWN_poweroff:
        return {DomainStop::Kind::poweroff, {}, {}};
    case abi::SHUTDOWN_reboot:
    case abi::SHUTDOWN_soft_reset:
        return {DomainStop::Kind::reboot, {}, {}};
    case abi::SHUTDOWN_suspend:
        return {
            DomainStop::Kind::poweroff, "the guest suspended itself, which ends it: this version cannot resume", {}};
    case abi::SHUTDOWN_watchdog:
        return {DomainStop::Kind::crash, "the guest's watchdog expired", {}};
    default:
        return {DomainStop::Kind::crash, "the guest reported its own crash; its console says why", {}};
    }
}

std::string sentence_for(std::string_view reason, bool nucleus_bug) {
    if (!nucleus_bug && reason.starts_with("the guest ")) { // whose doing it was is said
        return std::string{reason};
    }
    return (nucleus_bug ? "the nucleus stopped the domain: " : "the guest crashed: ") + std::string{reason};
}

} // namespace

void RequestServer::log_text(std::uint32_t length) {
    std::array<char, doorbell::REQUEST_TEXT> text;
    length = std::min<std::uint32_t>(length, doorbell::REQUEST_TEXT);
    std::memcpy(text.data(), mailbox_.request.text, length);
    if (guest_log_) {
        guest_log_({text.data(), length});
    }
}

std::int64_t RequestServer::release(std::uint32_t count) {
    count = std::min(count, doorbell::REQUEST_FRAMES);
    const std::uint64_t first_mfn = ram_.layout().mfn_of(domain_first_);
    std::array<std::uint64_t, doorbell::REQUEST_FRAMES> mfns;
    std::array<const std::byte*, doorbell::REQUEST_FRAMES> pages;
    std::uint32_t valid = 0;
    for (; valid < count; valid++) {
        mfns[valid] = std::atomic_ref{mailbox_.request.frames[valid]}.load(std::memory_order_relaxed);
        pages[valid] = mfns[valid] < first_mfn ? nullptr : ram_.frame(mfns[valid]);
        if (pages[valid] == nullptr) {
            break;
        }
    }
    // First, since pinned memory does not go; and once more, since I/O beside such a page may have pinned it again.
    const auto forget = [&] {
        if (forget_) {
            forget_({pages.data(), valid});
        }
    };
    forget();
    std::uint32_t gone = 0;
    while (gone < valid && ram_.release(mfns[gone])) {
        gone++;
    }
    released_ += gone;
    forget();
    return gone == count ? 0 : -EINVAL;
}

std::optional<DomainStop> RequestServer::serve() {
    // Copied once: the block is in memory that a broken nucleus could change under us.
    const Request kind = std::atomic_ref{mailbox_.request.kind}.load();
    const std::uint32_t length = std::atomic_ref{mailbox_.request.length}.load();
    const std::uint64_t argument = std::atomic_ref{mailbox_.request.argument[0]}.load();
    std::int64_t result = 0;
    switch (kind) {
    case Request::log:
    case Request::console_write:
        log_text(length);
        break;
    case Request::shutdown:
        return stop_for(argument);
    case Request::crash:
    case Request::nucleus_bug: {
        doorbell::CrashReport report;
        std::memcpy(&report, &mailbox_.request.crash, sizeof(report));
        report.reason[sizeof(report.reason) - 1] = 0;
        const bool bug = kind == Request::nucleus_bug;
        return DomainStop{DomainStop::Kind::crash, sentence_for(report.reason, bug), format_crash(report, bug)};
    }
    case Request::release:
        result = release(length);
        break;
    case Request::wall_clock:
        result =
            std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
                .count();
        break;
    case Request::none:
    case Request::reclaim:
    case Request::port_closed:
        break;
    default:
        result = -ENOSYS;
    }
    mailbox_.request.result = result;
    return std::nullopt;
}

} // namespace parapet::vmm
