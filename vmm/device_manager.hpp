// SPDX-License-Identifier: Apache-2.0
// The devices of a domain: their sources, which stay over its reboots, and for each life a backend and its xenbus
// device. On the control thread.
#pragma once

#include "backends/devices/device.hpp"
#include "iorings/xenbus/backend_device.hpp"
#include "vmm/control/device_control.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <vector>

namespace parapet::vmm {

using DeviceSources = std::vector<std::unique_ptr<devices::DeviceSource>>;

class DeviceManager final : public control::DeviceControl {
public:
    /// `sources` gains and loses what is attached and detached; it and what `context` refers to outlive the manager.
    DeviceManager(DeviceSources& sources, const devices::DeviceFactory& factory, devices::BackendContext context,
                  xenstore::Store& store, xenstore::DomId domid);
    ~DeviceManager() override;
    DeviceManager(const DeviceManager&) = delete;
    DeviceManager& operator=(const DeviceManager&) = delete;

    /// A backend for each source, and its directories in xenstore.
    Result<void> start();
    /// The guest is over: lets go of its memory, once. `done`: no backend uses it any more; the control context must
    /// run. What was to be detached and the guest had not given back is detached by that, and does not return with the
    /// guest.
    void stop(std::function<void()> done);

    Result<control::DeviceInfo> attach(devices::Handover handover) override;
    void detach(const std::string& kind, unsigned id, bool force, std::function<void(Result<void>)> done) override;
    [[nodiscard]] std::vector<control::DeviceInfo> list() const override;
    /// By name, of all devices: what they did.
    [[nodiscard]] boost::json::object statistics() const;

private:
    struct Entry {
        devices::DeviceSource* source = nullptr;
        std::unique_ptr<devices::DeviceBackend> backend;
        std::unique_ptr<xenbus::BackendDevice> device;
        std::vector<std::function<void(Result<void>)>> waiting; ///< for its removal
    };
    Result<void> add(devices::DeviceSource& source);
    [[nodiscard]] Entry* find(const std::string& kind, unsigned id);
    [[nodiscard]] control::DeviceInfo describe(const Entry& entry) const;
    void removed(Entry* entry);
    void close(Entry* entry);
    void one_less();

    DeviceSources& sources_;
    const devices::DeviceFactory& factory_;
    devices::BackendContext context_;
    xenstore::Store& store_;
    xenstore::DomId domid_;
    std::vector<std::unique_ptr<Entry>> entries_;
    bool stopped_ = false;               ///< their xenbus devices are gone
    unsigned busy_ = 0;                  ///< sources that are being closed; backends that stop() waits for
    std::function<void()> stopped_done_; ///< of stop(), when nothing is busy any more
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace parapet::vmm
