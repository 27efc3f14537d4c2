// SPDX-License-Identifier: Apache-2.0
// The machine is level-triggered: look() compares the frontend's state with ours and takes one step; whatever changes
// meanwhile (a watch fires, a disconnect completes) makes it look again. So it does not matter which of the frontend's
// states were missed, or in which order a hostile one writes them.
#include "iorings/xenbus/backend_device.hpp"

#include "iorings/xenstore/path.hpp"

namespace parapet::xenbus {

using xenstore::domain0;
using xenstore::DomId;

namespace {

std::string id_text(const DeviceAddress& address) {
    return address.kind + '/' + std::to_string(address.id);
}

} // namespace

class BackendDevice::Impl : public std::enable_shared_from_this<Impl> {
public:
    Impl(xenstore::Store& store, DeviceAddress address, Driver& driver, Nodes frontend_nodes, Nodes backend_nodes,
         Hooks hooks)
        : store_{store}, address_{std::move(address)}, driver_{driver}, frontend_nodes_{std::move(frontend_nodes)},
          backend_nodes_{std::move(backend_nodes)}, hooks_{std::move(hooks)} {
        const std::string number = std::to_string(static_cast<unsigned>(address_.domid));
        front_ = xenstore::domain_path(address_.domid) + "/device/" + id_text(address_);
        back_ = xenstore::domain_path(domain0) + "/backend/" + address_.kind + '/' + number + '/' +
                std::to_string(address_.id);
    }

    Result<void> start();
    void detach(bool force);
    void fail(const std::string& why);
    void publish(const Nodes& nodes);
    void forget() {
        if (watch_) {
            store_.unwatch(*watch_);
            watch_.reset();
        }
    }
    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] const DeviceAddress& address() const { return address_; }

private:
    Result<void> try_start();
    void make_directories();
    void write(const std::string& directory, const Nodes& nodes);
    [[nodiscard]] State frontend_state() const;
    void enter(State state);
    void offer();
    void connect();
    void disconnect();
    void look();
    void remove();
    void log(const std::string& text) const {
        if (hooks_.log) {
            hooks_.log(text);
        }
    }

    xenstore::Store& store_;
    DeviceAddress address_;
    Driver& driver_;
    Nodes frontend_nodes_, backend_nodes_;
    Hooks hooks_;
    std::string front_, back_;
    std::optional<xenstore::WatchId> watch_;
    Result<void> written_;
    State state_ = State::unknown;
    bool connected_ = false;     ///< the driver may use guest memory
    bool disconnecting_ = false; ///< its done() is awaited
    bool online_ = true;
    bool forced_ = false;
    bool failed_ = false; ///< until the frontend starts anew
};

void BackendDevice::Impl::write(const std::string& directory, const Nodes& nodes) {
    for (const auto& [name, value] : nodes) {
        if (auto done = store_.write(directory + '/' + name, value); written_.ok() && !done.ok()) {
            written_ = done;
        }
    }
}

void BackendDevice::Impl::make_directories() {
    const std::string number = std::to_string(static_cast<unsigned>(address_.domid));
    (void)store_.rm(front_);
    (void)store_.rm(back_);
    (void)store_.mkdir(back_);
    (void)store_.set_permissions(back_, {{domain0, xenstore::Access::None}, {address_.domid, xenstore::Access::Read}});
    write(back_, {{"frontend", front_}, {"frontend-id", number}, {"online", "1"}});
    write(back_, backend_nodes_);
    (void)store_.mkdir(front_);
    (void)store_.set_permissions(front_, {{address_.domid, xenstore::Access::None}});
    write(front_, {{"backend", back_}, {"backend-id", "0"}, {"state", "1"}});
    write(front_, frontend_nodes_);
}

Result<void> BackendDevice::Impl::start() {
    auto started = try_start();
    if (!started) { // the guest is not to find a device that nobody serves
        (void)store_.rm(back_);
        (void)store_.rm(front_);
    }
    return started;
}

Result<void> BackendDevice::Impl::try_start() {
    make_directories();
    offer();
    if (!written_.ok()) {
        return written_;
    }
    auto watch = store_.watch(front_ + "/state", [weak = weak_from_this()](const std::string&) {
        if (const auto self = weak.lock()) {
            self->look();
        }
    });
    if (!watch) {
        return watch.error();
    }
    watch_ = *watch;
    return {};
}

State BackendDevice::Impl::frontend_state() const {
    const auto number = FrontendNodes{store_, front_}.number("state", static_cast<unsigned>(State::reconfigured));
    return number ? static_cast<State>(*number) : State::unknown;
}

void BackendDevice::Impl::enter(State state) {
    if (state_ != state) {
        state_ = state;
        write(back_, {{"state", std::to_string(static_cast<unsigned>(state))}});
    }
}

void BackendDevice::Impl::offer() {
    failed_ = false;
    write(back_, driver_.offer());
    enter(State::init_wait);
}

void BackendDevice::Impl::connect() {
    auto nodes = driver_.connect(FrontendNodes{store_, front_});
    connected_ = true; // also half-way, as far as the driver knows: disconnect() undoes either
    if (!nodes) {
        fail(nodes.error().message);
        return;
    }
    write(back_, *nodes);
    enter(State::connected);
}

/// Look again when the driver has let go.
void BackendDevice::Impl::disconnect() {
    disconnecting_ = true;
    driver_.disconnect([weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self && self->disconnecting_) {
            self->disconnecting_ = self->connected_ = false;
            self->look();
        }
    });
}

void BackendDevice::Impl::look() {
    if (disconnecting_ || !watch_) {
        return;
    }
    const State front = frontend_state();
    const bool has_rings = front == State::initialised || front == State::connected;
    // A frontend that is Closing may still have a mounted disk to write back to: it uses its rings until it is Closed.
    if (connected_ && (!(has_rings || front == State::closing) || forced_ || failed_)) {
        disconnect();
        return;
    }
    if (!online_ && (forced_ || front == State::closed || front == State::unknown || front == State::initialising)) {
        remove();
    } else if (front == State::closing) {
        enter(State::closing);
    } else if (front == State::closed || front == State::unknown) {
        enter(State::closed);
    } else if (front == State::initialising && online_ && state_ != State::init_wait) {
        offer(); // it starts anew: a driver reloaded, another kernel
    } else if (has_rings && online_ && state_ == State::init_wait) {
        connect();
    }
}

/// The frontend watches the backend's state, and reads the other nodes anew when that is written, changed or not.
void BackendDevice::Impl::publish(const Nodes& nodes) {
    if (!watch_) {
        return;
    }
    write(back_, nodes);
    if (state_ == State::connected) {
        write(back_, {{"state", std::to_string(static_cast<unsigned>(state_))}});
    }
}

void BackendDevice::Impl::fail(const std::string& why) {
    if (!watch_) {
        return; // removed: it must leave no nodes
    }
    log(id_text(address_) + ": " + why);
    write(xenstore::domain_path(domain0) + "/error/backend/" + address_.kind + '/' +
              std::to_string(static_cast<unsigned>(address_.domid)) + '/' + std::to_string(address_.id),
          {{"error", why}});
    failed_ = true;
    enter(State::closing);
    look();
}

void BackendDevice::Impl::detach(bool force) {
    if (!watch_) {
        return; // it has been removed, and its owner will be told
    }
    const auto self = shared_from_this(); // look() may remove the device, and then its owner it
    online_ = false;
    forced_ = forced_ || force;
    write(back_, {{"online", "0"}});
    enter(State::closing);
    look(); // a connected frontend is served until it is Closed
    if (forced_ && disconnecting_) {
        driver_.abandon();
    }
}

void BackendDevice::Impl::remove() {
    const auto self = shared_from_this(); // removed() may destroy the device
    forget();
    enter(State::closed);
    (void)store_.rm(back_);
    (void)store_.rm(front_);
    if (hooks_.removed) {
        const auto removed = hooks_.removed;
        removed();
    }
}

BackendDevice::BackendDevice(xenstore::Store& store, DeviceAddress address, Driver& driver, Nodes frontend_nodes,
                             Nodes backend_nodes, Hooks hooks)
    : impl_{std::make_shared<Impl>(store, std::move(address), driver, std::move(frontend_nodes),
                                   std::move(backend_nodes), std::move(hooks))} {}
BackendDevice::~BackendDevice() {
    impl_->forget();
}
Result<void> BackendDevice::start() {
    return impl_->start();
}
void BackendDevice::detach(bool force) {
    impl_->detach(force);
}
void BackendDevice::fail(const std::string& why) {
    impl_->fail(why);
}
void BackendDevice::publish(const Nodes& nodes) {
    impl_->publish(nodes);
}
State BackendDevice::state() const {
    return impl_->state();
}
const DeviceAddress& BackendDevice::address() const {
    return impl_->address();
}

} // namespace parapet::xenbus
