// SPDX-License-Identifier: Apache-2.0
#include "vmm/device_manager.hpp"

#include "support/line_limit.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace parapet::vmm {

namespace {

const char* name_of(xenbus::State state) {
    constexpr const char* names[] = {"unknown",   "initialising", "waiting", "initialised", "connected",
                                     "detaching", "closed",       "closed",  "reconfigured"};
    return names[static_cast<unsigned>(state)];
}

Error ending() {
    return Error{"the guest has ended, and its devices are being stopped; try again when it has started anew"};
}

} // namespace

DeviceManager::DeviceManager(DeviceSources& sources, const devices::DeviceFactory& factory,
                             devices::BackendContext context, xenstore::Store& store, xenstore::DomId domid)
    : sources_{sources}, factory_{factory}, context_{std::move(context)}, store_{store}, domid_{domid} {}

DeviceManager::~DeviceManager() {
    *alive_ = false;
}

Result<void> DeviceManager::start() {
    for (const auto& source : sources_) {
        if (auto added = add(*source); !added) {
            return added;
        }
    }
    return {};
}

Result<void> DeviceManager::add(devices::DeviceSource& source) {
    auto entry = std::make_unique<Entry>();
    Entry* const raw = entry.get();
    entry->source = &source;
    // A guest can break a device, connect again and break it again, as often as it likes.
    devices::BackendContext context = context_;
    context.log = LineLimit{context_.log};
    xenbus::BackendDevice::Hooks hooks;
    hooks.log = context.log;
    entry->backend = source.make_backend(context);
    // Later, as the backend may still be in the call that led here.
    hooks.removed = [this, raw, alive = alive_] {
        boost::asio::post(context_.control, [this, raw, alive] {
            if (*alive) {
                removed(raw);
            }
        });
    };
    entry->device = std::make_unique<xenbus::BackendDevice>(
        store_, xenbus::DeviceAddress{source.kind(), source.id(), domid_}, *entry->backend,
        entry->backend->frontend_nodes(), entry->backend->backend_nodes(), std::move(hooks));
    entry->backend->publish = [raw](const xenbus::Nodes& nodes) { raw->device->publish(nodes); };
    entry->backend->fail = [raw](const std::string& why) { raw->device->fail(why); };
    auto started = entry->device->start();
    if (started) {
        entries_.push_back(std::move(entry));
    }
    return started;
}

void DeviceManager::stop(std::function<void()> done) {
    stopped_ = true;
    stopped_done_ = std::move(done);
    busy_ += static_cast<unsigned>(entries_.size()) + 1;
    for (const auto& owned : entries_) {
        Entry* const entry = owned.get();
        entry->device.reset(); // the guest's states are of no interest any more
        entry->backend->publish = [](const xenbus::Nodes&) {};
        entry->backend->fail = [](const std::string&) {};
        if (entry->waiting.empty()) {
            entry->backend->disconnect([this] { one_less(); });
            continue;
        }
        entry->backend->disconnect([this, entry] {
            boost::asio::post(context_.control, [this, entry, alive = alive_] { // as in add()
                if (*alive) {
                    close(entry);
                    one_less();
                }
            });
        });
    }
    one_less();
}

void DeviceManager::one_less() {
    if (--busy_ == 0 && stopped_done_) {
        std::exchange(stopped_done_, nullptr)();
    }
}

DeviceManager::Entry* DeviceManager::find(const std::string& kind, unsigned id) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
        return entry->source->kind() == kind && entry->source->id() == id;
    });
    return found == entries_.end() ? nullptr : found->get();
}

control::DeviceInfo DeviceManager::describe(const Entry& entry) const {
    return {.kind = entry.source->kind(),
            .id = entry.source->id(),
            .name = entry.source->name(),
            .description = entry.source->describe(),
            .state = entry.device ? name_of(entry.device->state()) : "stopped",
            .statistics = entry.backend->statistics()};
}

Result<control::DeviceInfo> DeviceManager::attach(devices::Handover handover) {
    if (!factory_.from_handover) {
        return Error{"this domain takes no devices"};
    }
    if (stopped_) {
        return ending();
    }
    std::set<std::pair<std::string, unsigned>> taken;
    for (const auto& owned : sources_) {
        taken.emplace(owned->kind(), owned->id());
    }
    auto source = factory_.from_handover(std::move(handover), taken);
    if (!source) {
        return source.error();
    }
    if (find((*source)->kind(), (*source)->id()) != nullptr) {
        return Error{"the domain has a device '" + (*source)->name() +
                     "' already; detach it first, or choose another name"};
    }
    if (auto added = add(**source); !added) {
        return added.error();
    }
    sources_.push_back(*std::move(source));
    return describe(*entries_.back());
}

void DeviceManager::detach(const std::string& kind, unsigned id, bool force, std::function<void(Result<void>)> done) {
    if (stopped_) {
        done(ending());
        return;
    }
    Entry* const entry = find(kind, id);
    if (entry == nullptr) {
        done(Error{"the domain has no device " + kind + "/" + std::to_string(id) + "; `parapet list` shows them"});
        return;
    }
    entry->waiting.push_back(std::move(done));
    entry->device->detach(force);
}

void DeviceManager::removed(Entry* entry) {
    if (!stopped_) { // else stop() waits for its backend, and closes it
        close(entry);
    }
}

/// Its backend has let go: the device is no more, and who waits for that is told when others may open what it had.
void DeviceManager::close(Entry* entry) {
    const auto place = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.get() == entry; });
    if (place == entries_.end()) {
        return;
    }
    const auto owned = std::find_if(sources_.begin(), sources_.end(),
                                    [&](const auto& source) { return source.get() == entry->source; });
    const auto source = std::make_shared<std::unique_ptr<devices::DeviceSource>>(std::move(*owned));
    const auto waiting = std::move(entry->waiting);
    sources_.erase(owned);
    entries_.erase(place);
    busy_++;
    (*source)->close(context_.control, [this, source, waiting, alive = alive_] {
        boost::asio::post(context_.control, [this, source, waiting, alive] { // it may still be in close()
            if (!*alive) {
                return;
            }
            source->reset(); // its locks go with it
            for (const auto& done : waiting) {
                done({});
            }
            one_less();
        });
    });
}

std::vector<control::DeviceInfo> DeviceManager::list() const {
    std::vector<control::DeviceInfo> all;
    for (const auto& entry : entries_) {
        all.push_back(describe(*entry));
    }
    return all;
}

boost::json::object DeviceManager::statistics() const {
    boost::json::object all;
    for (const auto& entry : entries_) {
        all[entry->source->name()] = entry->backend->statistics();
    }
    return all;
}

} // namespace parapet::vmm
