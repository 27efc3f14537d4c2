// SPDX-License-Identifier: Apache-2.0
// Serves the nucleus's synchronous requests (doorbell.hpp: RequestBlock), on the vCPU's thread.
#pragma once

#include "pv-abi/doorbell.hpp"
#include "vmm/guest_ram.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace parapet::vmm {

/// Why a domain stopped running.
struct DomainStop {
    enum class Kind { poweroff, reboot, crash, host_failure, asked } kind = Kind::poweroff;
    std::string message; ///< one sentence, or empty
    std::string report;  ///< the crash report, or empty
};

class RequestServer {
public:
    using Log = std::function<void(std::string_view text)>;

    /// Called before and after the memory of these pages goes back to the host: others will be at their addresses.
    using ForgetPages = std::function<void(std::span<const std::byte* const> pages)>;

    RequestServer(GuestRam& ram, doorbell::Mailbox& mailbox, std::uint64_t domain_first, Log guest_log,
                  ForgetPages forget = {})
        : ram_{ram}, mailbox_{mailbox}, domain_first_{domain_first},
          guest_log_{std::move(guest_log)}, forget_{std::move(forget)} {}

    /// Serve what is in the mailbox. A value: the domain is over.
    std::optional<DomainStop> serve();

    [[nodiscard]] std::uint64_t frames_released() const { return released_; }

private:
    void log_text(std::uint32_t length);
    std::int64_t release(std::uint32_t count);

    GuestRam& ram_;
    doorbell::Mailbox& mailbox_;
    std::uint64_t domain_first_;
    Log guest_log_;
    ForgetPages forget_;
    std::uint64_t released_ = 0;
};

} // namespace parapet::vmm
