// SPDX-License-Identifier: Apache-2.0
// The table of watches and the matching of events.
#include "iorings/xenstore/watches.hpp"
#include "iorings/xenstore/path.hpp"

#include <algorithm>

namespace parapet::xenstore {
namespace {

/// May `domid` learn that something happened at `path`? If it may read the node or its parent.
bool may_know(const Tree& tree, std::string_view path, DomId domid) {
    const Node* node = tree.find(path);
    if (!node)
        return false;
    if (allows(node->permissions, domid, Access::Read))
        return true;
    const Node* parent = tree.find(parent_path(path));
    return parent && allows(parent->permissions, domid, Access::Read);
}

} // namespace

std::string_view Watch::shown(std::string_view event_path) const {
    return event_path.substr(std::min(strip, event_path.size()));
}

Outcome<Watch*> WatchTable::add(Watch watch) {
    for (const Watch& other : watches_) {
        if (other.sink == watch.sink && other.path == watch.path && other.token == watch.token)
            return Errno::EEXIST_;
    }
    watches_.push_back(std::move(watch));
    return &watches_.back();
}

Errno WatchTable::remove(const EventSink& sink, std::string_view path, std::string_view token) {
    const auto removed =
        std::erase_if(watches_, [&](const Watch& w) { return w.sink == &sink && w.path == path && w.token == token; });
    return removed == 0 ? Errno::ENOENT_ : Errno::Ok;
}

void WatchTable::remove_all(const EventSink& sink) {
    std::erase_if(watches_, [&](const Watch& w) { return w.sink == &sink; });
}

std::size_t WatchTable::count(const EventSink& sink) const {
    return static_cast<std::size_t>(
        std::count_if(watches_.begin(), watches_.end(), [&](const Watch& w) { return w.sink == &sink; }));
}

Watch* WatchTable::first_missed(const EventSink& sink) {
    const auto found =
        std::find_if(watches_.begin(), watches_.end(), [&](const Watch& w) { return w.sink == &sink && w.missed; });
    return found == watches_.end() ? nullptr : &*found;
}

void WatchTable::fire(std::string_view path, const Tree& after, const Tree* before) {
    const bool removed = before && !after.find(path);
    const auto may = [&](std::string_view p, DomId domid) {
        return domid == domain0 || may_know(after, p, domid) || (before && may_know(*before, p, domid));
    };
    for (Watch& watch : watches_) {
        const DomId domid = watch.sink->domid();
        if (is_at_or_below(watch.path, path)) {
            if (may(path, domid))
                watch.sink->on_event(watch, path);
        } else if (removed && is_at_or_below(path, watch.path) && before->find(watch.path)) {
            // What it watched went away with an ancestor: the event names the watched path.
            if (may(watch.path, domid))
                watch.sink->on_event(watch, watch.path);
        }
    }
}

void WatchTable::fire_special(std::string_view path, const Permissions& permissions) {
    for (Watch& watch : watches_) {
        if (watch.path == path && allows(permissions, watch.sink->domid(), Access::Read))
            watch.sink->on_event(watch, path);
    }
}

} // namespace parapet::xenstore
