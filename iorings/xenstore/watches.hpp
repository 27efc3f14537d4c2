// SPDX-License-Identifier: Apache-2.0
// Watches and whom they tell. Who receives events (a guest's connection, the host) is an EventSink.
#pragma once

#include "iorings/xenstore/permissions.hpp"
#include "iorings/xenstore/tree.hpp"

#include <cstdint>
#include <list>
#include <string>
#include <string_view>

namespace parapet::xenstore {

class EventSink;

struct Watch {
    EventSink* sink = nullptr;
    std::string path;      ///< canonical, or special ("@releaseDomain")
    std::string token;     ///< the watcher's own
    std::size_t strip = 0; ///< leading bytes to drop from an event's path: the watcher gave a relative one
    bool missed = false;   ///< the sink's own mark: an event could not be queued

    /// The event's path as the watcher is to see it.
    [[nodiscard]] std::string_view shown(std::string_view event_path) const;
};

class EventSink {
public:
    virtual ~EventSink() = default;
    [[nodiscard]] virtual DomId domid() const = 0;
    /// `path` is canonical or special. Must not change the store: queue, and act later.
    virtual void on_event(Watch& watch, std::string_view path) = 0;
    /// Asked for with Store::wake_when_settled(): the store is at rest, act now.
    virtual void on_settled() = 0;
};

class WatchTable {
public:
    /// EEXIST if the sink has a watch of the same path and token.
    [[nodiscard]] Outcome<Watch*> add(Watch watch);
    [[nodiscard]] Errno remove(const EventSink& sink, std::string_view path, std::string_view token);
    void remove_all(const EventSink& sink);
    [[nodiscard]] std::size_t count(const EventSink& sink) const;
    /// The first of the sink's watches that is marked as missed.
    [[nodiscard]] Watch* first_missed(const EventSink& sink);

    /// Tells all that may know that `path` changed. `before` is the tree before the change, where a removed node or
    /// older permissions are to be seen (nullptr: the change made neither possible).
    void fire(std::string_view path, const Tree& after, const Tree* before);
    /// Tells the watchers of a special path.
    void fire_special(std::string_view path, const Permissions& permissions);

private:
    std::list<Watch> watches_;
};

} // namespace parapet::xenstore
