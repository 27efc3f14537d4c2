// SPDX-License-Identifier: Apache-2.0
// The host's API of the store: Domain0's rights, errors as sentences, watches as callbacks.
#include "iorings/xenstore/host_sink.hpp"
#include "iorings/xenstore/store.hpp"

#include <charconv>

namespace parapet::xenstore {
namespace {

constexpr Caller host_caller{domain0, nullptr};

Error sentence(std::string_view what, std::string_view path, Errno error) {
    std::string text{"xenstore: cannot "};
    text.append(what).append(" \"").append(path).append("\": ").append(error_text(error));
    return {text.append(" (").append(error_name(error)).append(").")};
}

/// The sentence for an error, or success.
Result<void> finish(Errno error, std::string_view what, std::string_view path) {
    if (error != Errno::Ok)
        return sentence(what, path, error);
    return {};
}

} // namespace

void Store::HostSink::on_event(Watch& watch, std::string_view path) {
    std::uint64_t id = 0;
    std::from_chars(watch.token.data(), watch.token.data() + watch.token.size(), id);
    due_.emplace_back(WatchId{id}, path);
}

void Store::HostSink::deliver_one() {
    const auto [id, path] = std::move(due_.front());
    due_.pop_front();
    const auto found = registrations.find(id);
    if (found == registrations.end())
        return;
    const auto callback = found->second.callback; // it may unwatch itself
    if (*callback)
        (*callback)(path);
}

// What is called here may use the store and so come here again: the outermost call does it all.
void Store::settle() {
    if (settling_)
        return;
    settling_ = true;
    while (host_->any_due() || !to_wake_.empty()) {
        if (host_->any_due())
            host_->deliver_one();
        else
            to_wake_.extract(to_wake_.begin()).value()->on_settled();
    }
    settling_ = false;
}

void Store::forget(EventSink& sink) {
    watches_.remove_all(sink);
    to_wake_.erase(&sink);
}

Result<std::string> Store::read(std::string_view path) const {
    auto value = get_value(host_caller, path);
    if (!value.ok())
        return sentence("read", path, value.error());
    return *std::move(value);
}

bool Store::exists(std::string_view path) const {
    return get_value(host_caller, path).ok();
}

Result<std::vector<std::string>> Store::list(std::string_view path) const {
    const auto listing = get_children(host_caller, path);
    if (!listing.ok())
        return sentence("list", path, listing.error());
    std::vector<std::string> names;
    for (std::string_view rest = listing->names; !rest.empty(); rest.remove_prefix(names.back().size() + 1))
        names.emplace_back(rest.substr(0, rest.find('\0')));
    return names;
}

Result<void> Store::write(std::string_view path, std::string_view value) {
    const Errno error = set_value(host_caller, path, value);
    settle();
    return finish(error, "write", path);
}

Result<void> Store::mkdir(std::string_view path) {
    const Errno error = make_node(host_caller, path);
    settle();
    return finish(error, "make", path);
}

Result<void> Store::rm(std::string_view path) {
    Errno error = remove_node(host_caller, path);
    if (error == Errno::ENOENT_)
        error = Errno::Ok;
    settle();
    return finish(error, "remove", path);
}

Result<Permissions> Store::permissions(std::string_view path) const {
    auto permissions = get_permissions(host_caller, path);
    if (!permissions.ok())
        return sentence("read the permissions of", path, permissions.error());
    return *std::move(permissions);
}

Result<void> Store::set_permissions(std::string_view path, Permissions permissions) {
    const Errno error = change_permissions(host_caller, path, std::move(permissions));
    settle();
    return finish(error, "set the permissions of", path);
}

Result<WatchId> Store::watch(std::string_view path, WatchCallback callback) {
    const WatchId id{++host_->last_id};
    const auto watch = add_watch(*host_, path, std::to_string(host_->last_id));
    if (!watch.ok())
        return sentence("watch", path, watch.error());
    host_->registrations[id] = {std::string{path}, std::make_shared<WatchCallback>(std::move(callback))};
    host_->on_event(**watch, (*watch)->path);
    settle();
    return id;
}

void Store::unwatch(WatchId id) {
    const auto found = host_->registrations.find(id);
    if (found == host_->registrations.end())
        return;
    (void)remove_watch(*host_, found->second.path, std::to_string(static_cast<std::uint64_t>(id)));
    host_->registrations.erase(found);
}

void Store::introduce_domain(DomId domid) {
    introduced_.insert(domid);
    watches_.fire_special("@introduceDomain", special_["@introduceDomain"]);
    settle();
}

void Store::release_domain(DomId domid) {
    introduced_.erase(domid);
    watches_.fire_special("@releaseDomain", special_["@releaseDomain"]);
    settle();
}

} // namespace parapet::xenstore
