// SPDX-License-Identifier: Apache-2.0
// What a client asks, and the answers (docs/control.md).
#include "vmm/control/control_server.hpp"
#include "vmm/control/device_name.hpp"
#include "vmm/control/memory_bounds.hpp"
#include "vmm/control/message.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <exception>
#include <unistd.h>
#include <utility>

namespace parapet::vmm::control {

namespace {

namespace json = boost::json;

json::object describe(const DeviceInfo& device) {
    return {{"kind", device.kind},   {"id", device.id},
            {"name", device.name},   {"description", device.description},
            {"state", device.state}, {"statistics", device.statistics}};
}

} // namespace

void ControlServer::serve(Session& session, Frame frame) {
    const auto message = parse_message(frame.payload);
    if (!message) {
        session.dismiss(message.error().message);
        return;
    }
    const auto request = text_member(*message, "request");
    if (!request) {
        session.dismiss("a message without a request");
        return;
    }
    try {
        answer(session, *request, *message, std::move(frame.descriptors));
    } catch (const std::exception& error) {
        session.refuse("the request '" + *request + "' failed: " + error.what());
    }
}

void ControlServer::answer(Session& session, const std::string& request, const json::object& message,
                           std::vector<UniqueFd> descriptors) {
    if (request == "info") {
        session.reply(info());
    } else if (request == "shutdown") {
        shut_down(session, text_member(message, "how").value_or("poweroff"));
    } else if (request == "destroy") {
        session.reply({{"ok", true}});
        life_->destroy();
    } else if (request == "wait") {
        session.set_patient(true);
    } else if (request == "mem-set") {
        set_memory(session, message);
    } else if (request == "console") {
        session.reply({{"ok", true}});
        session.view(flag_member(message, "follow", true));
    } else if (request == "attach") {
        attach(session, message, std::move(descriptors));
    } else if (request == "detach") {
        detach(session, message);
    } else {
        session.refuse("domain '" + name_ + "' does not know the request '" + request +
                       "': it was started by another version of parapet");
    }
}

json::object ControlServer::info() const {
    const LifeFacts facts = life_->facts();
    json::array devices;
    if (const DeviceControl* control = life_->devices()) {
        for (const DeviceInfo& device : control->list()) {
            devices.push_back(describe(device));
        }
    }
    unsigned viewers = 0;
    for (const auto& session : sessions_) {
        viewers += session->viewing() ? 1 : 0;
    }
    return {{"ok", true},
            {"name", name_},
            {"pid", ::getpid()},
            {"domid", facts.domid},
            {"state", facts.shutting_down ? "shutting-down" : "running"},
            {"memory",
             {{"now_bytes", facts.memory_bytes},
              {"target_bytes", facts.target_bytes},
              {"maximum_bytes", facts.maximum_bytes}}},
            {"vcpus", facts.vcpus},
            {"uptime_s", facts.uptime_s},
            {"reboots", facts.reboots},
            {"kernel", facts.kernel},
            {"viewers", viewers},
            {"devices", std::move(devices)}};
}

void ControlServer::shut_down(Session& session, const std::string& how) {
    if (how != "poweroff" && how != "reboot") {
        session.refuse("'" + how + "' is no way to shut down: poweroff and reboot are");
    } else if (const auto asked = life_->ask_shutdown(how); !asked) {
        session.refuse(asked.error().message);
    } else {
        session.reply({{"ok", true}});
    }
}

void ControlServer::set_memory(Session& session, const json::object& message) {
    const auto bytes = number_member(message, "bytes");
    const LifeFacts facts = life_->facts();
    if (const auto checked = check_memory_target(bytes.value_or(0), facts.maximum_bytes); !checked) {
        session.refuse(checked.error().message);
    } else if (const auto set = life_->set_memory_target(*bytes); !set) {
        session.refuse(set.error().message);
    } else {
        session.reply({{"ok", true}});
    }
}

void ControlServer::attach(Session& session, const json::object& message, std::vector<UniqueFd> descriptors) {
    DeviceControl* control = life_->devices();
    const json::value* description = message.if_contains("device");
    if (control == nullptr) {
        session.refuse("the devices of domain '" + name_ + "' cannot be changed");
        return;
    }
    if (description == nullptr || !description->is_object()) {
        session.refuse("the request to attach describes no device");
        return;
    }
    const auto attached = control->attach({description->get_object(), std::move(descriptors)});
    if (!attached) {
        session.refuse(attached.error().message);
        return;
    }
    session.reply({{"ok", true}, {"device", describe(*attached)}});
}

void ControlServer::detach(Session& session, const json::object& message) {
    DeviceControl* control = life_->devices();
    if (control == nullptr) {
        session.refuse("the devices of domain '" + name_ + "' cannot be changed");
        return;
    }
    const auto device = find_device(control->list(), text_member(message, "device").value_or(""));
    if (!device) {
        session.refuse(device.error().message);
        return;
    }
    std::erase_if(detaching_, [](const auto& other) { return other->over || other->session.expired(); });
    const auto waits = [&session](const auto& other) { return other->session.lock().get() == &session; };
    if (std::any_of(detaching_.begin(), detaching_.end(), waits)) {
        session.refuse("this connection waits for a detach already; use one for each");
        return;
    }
    session.set_patient(true);
    const auto detaching = std::make_shared<Detaching>(session.weak_from_this());
    detaching_.push_back(detaching);
    control->detach(device->kind, device->id, flag_member(message, "force"),
                    [detaching](const Result<void>& done) { detaching->finish(done); });
}

void ControlServer::Detaching::finish(const Result<void>& done) {
    const auto waiting = session.lock();
    if (std::exchange(over, true) || !waiting) {
        return;
    }
    waiting->set_patient(false);
    if (done) {
        waiting->reply({{"ok", true}});
    } else {
        waiting->refuse(done.error().message);
    }
}

} // namespace parapet::vmm::control
