// SPDX-License-Identifier: Apache-2.0
// The backend's half of one xenbus device: its directories in xenstore, the dance of states with the frontend,
// reconnect and removal (xen/include/public/io/xenbus.h; the walk of states follows Linux'
// drivers/block/xen-blkback/xenbus.c and drivers/net/xen-netback/xenbus.c).
//
//   backend                              frontend
//   InitWait  ── features ─────────────▶ Initialising
//                    ◀────── rings ───── Initialised or Connected
//   Connected ─────────────────────────▶ Connected
//   Closing          ◀──────────────── Closing                  (driver unload, kexec; or our own Closing: detach)
//   Closed           ◀──────────────── Closed                   after disconnect: until then its rings are served
//   InitWait  ◀───── Initialising again: it starts anew           (online = 1)
//   removed   ◀───── Closed and online = 0
//
// All on the control thread: the one that owns the store.
#pragma once

#include "iorings/xenstore/store.hpp"
#include "support/result.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parapet::xenbus {

enum class State : unsigned {
    unknown = 0,
    initialising = 1,
    init_wait = 2,
    initialised = 3,
    connected = 4,
    closing = 5,
    closed = 6,
    reconfiguring = 7,
    reconfigured = 8,
};

/// Relative name and value, in the device's own directory.
using Nodes = std::vector<std::pair<std::string, std::string>>;

/// What the frontend wrote. Values are the guest's: check them.
class FrontendNodes {
public:
    FrontendNodes(const xenstore::Store& store, std::string directory)
        : store_{store}, directory_{std::move(directory)} {}
    /// Nothing: no such node.
    [[nodiscard]] std::optional<std::string> text(std::string_view name) const;
    /// Nothing: no such node, or not a decimal number up to `most`.
    [[nodiscard]] std::optional<std::uint64_t> number(std::string_view name, std::uint64_t most = 0xffffffff) const;

private:
    const xenstore::Store& store_;
    std::string directory_;
};

/// What a kind of device does at each step.
class Driver {
public:
    virtual ~Driver() = default;
    /// Nodes of the backend's directory before InitWait: what this backend offers. Called at each start of a handshake.
    virtual Nodes offer() = 0;
    /// The frontend has named its rings: attach to them. On success, nodes to write before Connected. An Error closes
    /// the device, with its text in the log and below /local/domain/0/error.
    virtual Result<Nodes> connect(const FrontendNodes& frontend) = 0;
    /// Let go of the rings: when `done` is called (on the control thread, perhaps at once, once), no guest memory is in
    /// use any more, and connect() may come again. Also called when not connected.
    virtual void disconnect(std::function<void()> done) = 0;
    /// While a disconnect() is under way, of a device that goes by force: what it waits for outside of this process (a
    /// server that is away) is given up. Perhaps more than once.
    virtual void abandon() {}
};

struct DeviceAddress {
    std::string kind; ///< "vbd", "vif"
    unsigned id = 0;  ///< the number in the frontend's path: 51712, 0, ...
    xenstore::DomId domid{1};
};

class BackendDevice {
public:
    struct Hooks {
        std::function<void()> removed;             ///< detach() is complete and the nodes are gone. May destroy.
        std::function<void(std::string_view)> log; ///< one sentence
    };
    /// `driver` outlives the device. `frontend_nodes`, `backend_nodes`: beside the usual ones (backend, backend-id,
    /// state; frontend, frontend-id, online, state).
    BackendDevice(xenstore::Store& store, DeviceAddress address, Driver& driver, Nodes frontend_nodes,
                  Nodes backend_nodes, Hooks hooks);
    ~BackendDevice(); ///< Stops watching; neither disconnects nor removes nodes.
    BackendDevice(const BackendDevice&) = delete;
    BackendDevice& operator=(const BackendDevice&) = delete;

    /// Makes both directories, offers, and waits for the frontend.
    Result<void> start();
    /// Asks the frontend to let go; `force`: does not wait for it. Hooks::removed follows.
    void detach(bool force);
    /// The frontend broke the rules, or the device cannot go on: one line in the log, an error node, and Closing.
    void fail(const std::string& why);
    /// Changes nodes of the backend's directory while it runs (sectors, ...).
    void publish(const Nodes& nodes);

    [[nodiscard]] State state() const;
    [[nodiscard]] const DeviceAddress& address() const;

private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace parapet::xenbus
