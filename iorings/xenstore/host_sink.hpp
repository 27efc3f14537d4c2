// SPDX-License-Identifier: Apache-2.0
// The host's watches: events queue up and become callbacks when the store is at rest. Internal to the store.
#pragma once

#include "iorings/xenstore/store.hpp"

namespace parapet::xenstore {

class Store::HostSink final : public EventSink {
public:
    struct Registration {
        std::string path;
        std::shared_ptr<WatchCallback> callback;
    };

    [[nodiscard]] DomId domid() const override { return domain0; }
    void on_event(Watch& watch, std::string_view path) override;
    void on_settled() override {}
    /// Runs the callback that is due first, if one is.
    void deliver_one();
    [[nodiscard]] bool any_due() const { return !due_.empty(); }

    std::map<WatchId, Registration> registrations;
    std::uint64_t last_id = 0;

private:
    std::deque<std::pair<WatchId, std::string>> due_;
};

} // namespace parapet::xenstore
