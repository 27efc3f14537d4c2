// SPDX-License-Identifier: Apache-2.0
// Xenstore of one domain: the tree, its permissions, quotas, transactions and watches, and the host's API to it.
//
// Single threaded: the caller sees to it that a Store, its Connections and their RingTransports are used by one thread
// at a time (one mutex around all of them, or one thread that owns them). Paths of the host API are absolute, or
// relative to /local/domain/0. The host acts as Domain0: no permission or quota stops it.
#pragma once

#include "iorings/xenstore/limits.hpp"
#include "iorings/xenstore/permissions.hpp"
#include "iorings/xenstore/transaction.hpp"
#include "iorings/xenstore/tree.hpp"
#include "iorings/xenstore/watches.hpp"
#include "support/result.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::xenstore {

/// Called with the path that changed: absolute, also where the watch was given a relative one.
using WatchCallback = std::function<void(const std::string& path)>;
enum class WatchId : std::uint64_t {};

/// Who asks, and inside which transaction (nullptr: none).
struct Caller {
    DomId domid{};
    Transaction* transaction = nullptr;
    [[nodiscard]] bool privileged() const { return domid == domain0; }
};

class Store {
public:
    explicit Store(Quotas quotas = {});
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    // The host's API. Errors name the path and the reason.

    [[nodiscard]] Result<std::string> read(std::string_view path) const;
    [[nodiscard]] bool exists(std::string_view path) const;
    /// Names of the children, in order of creation.
    [[nodiscard]] Result<std::vector<std::string>> list(std::string_view path) const;
    /// Makes missing parents, each with its own parent's permissions.
    Result<void> write(std::string_view path, std::string_view value);
    /// As write() with an empty value, but leaves an existing node alone.
    Result<void> mkdir(std::string_view path);
    /// Removes the node and all below it. Nothing to remove is no error.
    Result<void> rm(std::string_view path);
    [[nodiscard]] Result<Permissions> permissions(std::string_view path) const;
    Result<void> set_permissions(std::string_view path, Permissions permissions);

    /// Calls back once at once (before this returns, unless called from a callback) and then on every change at or
    /// below `path`. Callbacks run after the change is complete, inside the call that made it (a host call, or the
    /// pump() that served the guest's request); they may use the store, also watch and unwatch, but not pump or feed a
    /// connection.
    [[nodiscard]] Result<WatchId> watch(std::string_view path, WatchCallback callback);
    /// After this the callback is not called any more. An unknown id is ignored.
    void unwatch(WatchId id);

    /// Fire @introduceDomain and @releaseDomain. Releasing leaves the domain's nodes alone.
    void introduce_domain(DomId domid);
    void release_domain(DomId domid);
    [[nodiscard]] bool is_introduced(DomId domid) const { return introduced_.contains(domid); }

    // Operations on behalf of a client, with its rights and limits. Paths as the client gave them.

    [[nodiscard]] Outcome<std::string> get_value(Caller caller, std::string_view path) const;
    /// A copy of the node's children and generation.
    struct Listing {
        std::uint64_t generation = 0;
        std::string names; ///< each closed by a NUL
    };
    [[nodiscard]] Outcome<Listing> get_children(Caller caller, std::string_view path) const;
    [[nodiscard]] Outcome<Permissions> get_permissions(Caller caller, std::string_view path) const;
    [[nodiscard]] Errno set_value(Caller caller, std::string_view path, std::string_view value);
    [[nodiscard]] Errno make_node(Caller caller, std::string_view path);
    [[nodiscard]] Errno remove_node(Caller caller, std::string_view path);
    [[nodiscard]] Errno change_permissions(Caller caller, std::string_view path, Permissions permissions);
    [[nodiscard]] Transaction begin() const { return Transaction{tree_}; }
    /// EAGAIN: others changed what it touched; nothing was done.
    [[nodiscard]] Errno commit(DomId domid, const Transaction& transaction);

    /// Adds a watch, E2BIG beyond the quota. The first event is left to the caller. Valid until the watch is removed.
    [[nodiscard]] Outcome<Watch*> add_watch(EventSink& sink, std::string_view path, std::string_view token);
    [[nodiscard]] Errno remove_watch(EventSink& sink, std::string_view path, std::string_view token);
    [[nodiscard]] WatchTable& watches() { return watches_; }
    [[nodiscard]] const Quotas& quotas() const { return quotas_; }
    /// Runs the host's callbacks that are due, then wakes sinks. The host's own calls do it themselves, a connection
    /// after each request.
    void settle();
    void wake_when_settled(EventSink& sink) { to_wake_.insert(&sink); }
    /// The sink goes: its watches too.
    void forget(EventSink& sink);

private:
    class HostSink;

    [[nodiscard]] const Tree& view(Caller caller) const {
        return caller.transaction ? caller.transaction->working : tree_;
    }
    [[nodiscard]] Tree& view(Caller caller) { return caller.transaction ? caller.transaction->working : tree_; }
    [[nodiscard]] bool touch(Caller caller, std::string_view path, Transaction::Touch how) const;
    [[nodiscard]] Outcome<std::string> canonical(Caller caller, std::string_view path) const;
    [[nodiscard]] Errno check(Caller caller, std::string_view path, Access wanted) const;
    [[nodiscard]] Errno check(Caller caller, std::string_view path,
                              const std::function<bool(const Permissions&)>& may) const;
    [[nodiscard]] Outcome<const Node*> look(Caller caller, std::string_view path) const;
    [[nodiscard]] Errno create_with_parents(Caller caller, const std::string& path, std::string_view value);
    [[nodiscard]] Errno change_special(Caller caller, std::string_view path, Permissions permissions);
    void changed(Caller caller, std::string_view path, const Tree* before);

    Quotas quotas_;
    Tree tree_;
    std::uint64_t generation_ = 1;
    std::map<std::string, Permissions, std::less<>> special_;
    std::set<DomId> introduced_;
    WatchTable watches_;
    std::unique_ptr<HostSink> host_;
    std::set<EventSink*> to_wake_;
    bool settling_ = false;
};

} // namespace parapet::xenstore
