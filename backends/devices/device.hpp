// SPDX-License-Identifier: Apache-2.0
// What all devices of a domain have in common for the vmm: a specification that the user wrote, things that were opened
// for it before the process was confined, and a backend for each life of the domain.
//
//   text ──parse──▶ spec ──open──▶ DeviceSource ──make_backend (at each life)──▶ DeviceBackend
//                                       ▲
//   parapet attach, another process: parse, open, to_handover ──control socket (SCM_RIGHTS)──▶ from_handover
#pragma once

#include "backends/io/io_thread.hpp"
#include "iorings/grants/host_grants.hpp"
#include "iorings/xenbus/backend_device.hpp"
#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parapet::devices {

/// Surroundings of a backend. All outlive it.
struct BackendContext {
    io::IoThread& io;
    grants::HostGrants& grants; ///< on the I/O thread only
    boost::asio::io_context& control;
    std::function<void(std::string_view)> log; ///< one sentence; control thread
};

/// An opened device as it goes to another process: a description, and the descriptors that it counts by index.
struct Handover {
    boost::json::object description;
    std::vector<UniqueFd> descriptors;
};

/// The xenbus driver of one device in one life of the domain, with the nodes that it needs from the start.
class DeviceBackend : public xenbus::Driver {
public:
    [[nodiscard]] virtual xenbus::Nodes frontend_nodes() const = 0;
    [[nodiscard]] virtual xenbus::Nodes backend_nodes() const = 0;
    /// Publishes changed nodes while it runs; set by the owner before the device starts.
    std::function<void(const xenbus::Nodes&)> publish;
    /// Stops the device, whose frontend broke the rules (xenbus::BackendDevice::fail); set likewise. Control thread.
    std::function<void(const std::string& why)> fail;
    /// For --stats, --json and `parapet list`: requests, bytes, errors.
    [[nodiscard]] virtual boost::json::object statistics() const = 0;
};

/// Opened things of one device, alive over the guest's reboots.
class DeviceSource {
public:
    virtual ~DeviceSource() = default;
    [[nodiscard]] virtual std::string kind() const = 0;     ///< "vbd", "vif"
    [[nodiscard]] virtual unsigned id() const = 0;          ///< in the frontend's path
    [[nodiscard]] virtual std::string name() const = 0;     ///< what the user calls it: "xvda", "vif0"
    [[nodiscard]] virtual std::string describe() const = 0; ///< for `parapet list`: "xvda root.img (raw, read-write)"
    [[nodiscard]] virtual std::unique_ptr<DeviceBackend> make_backend(const BackendContext& context) = 0;
    /// Gives everything away; the source is of no use afterwards.
    [[nodiscard]] virtual Handover to_handover() && = 0;
    /// Lets go of everything, when the last backend has gone: `done` on `control`'s thread, perhaps at once, when
    /// others may open it. The source is of no use afterwards; it lives until then.
    // NOLINTNEXTLINE(performance-unnecessary-value-param): who overrides it keeps it
    virtual void close(boost::asio::io_context& /*control*/, std::function<void()> done) { done(); }
};

/// How the process makes sources; it knows the kinds of devices, of which vmm/ knows none.
struct DeviceFactory {
    /// Opens what the command line asked for, once, before the process is confined. Empty: no devices.
    std::function<Result<std::vector<std::unique_ptr<DeviceSource>>>()> open;
    /// The source that another process opened. The description is that process's word: checked. `taken`: kind and id of
    /// the domain's devices; one that has none yet gets a free one.
    std::function<Result<std::unique_ptr<DeviceSource>>(Handover,
                                                        const std::set<std::pair<std::string, unsigned>>& taken)>
        from_handover;
};

} // namespace parapet::devices
