// SPDX-License-Identifier: Apache-2.0
// The store's operations with a client's rights and limits; the host's API on top of them is in store_host.cpp.
#include "iorings/xenstore/store.hpp"
#include "iorings/xenstore/host_sink.hpp"
#include "pv-abi/xenstore.hpp"

#include <limits>

namespace parapet::xenstore {

using Touch = Transaction::Touch;

Store::Store(Quotas quotas) : quotas_{quotas}, host_{std::make_unique<HostSink>()} {
    special_["@introduceDomain"] = special_["@releaseDomain"] = {{domain0, Access::None}};
    (void)mkdir("/tool/xenstored");
    introduced_.insert(domain0);
}

Store::~Store() = default;

bool Store::touch(Caller caller, std::string_view path, Touch how) const {
    if (!caller.transaction)
        return true;
    const auto limit = caller.privileged() ? std::numeric_limits<std::size_t>::max() : quotas_.nodes_per_transaction;
    return caller.transaction->touch(path, how, limit);
}

Outcome<std::string> Store::canonical(Caller caller, std::string_view path) const {
    auto absolute = canonical_path(caller.domid, path);
    if (!absolute.ok() || caller.privileged())
        return absolute;
    // What comes below /local/domain/N counts, so that a guest's limit is the same whatever its number.
    const auto base = domain_path(caller.domid) + '/';
    const auto own_length = absolute->size() - (absolute->starts_with(base) ? base.size() : 0);
    return own_length > quotas_.path_length ? Errno::EINVAL_ : absolute;
}

/// May the caller? A missing node counts as its nearest ancestor, so that who may not look there learns nothing. In a
/// transaction the answer is something it has seen, so what the answer rests on is noted.
Errno Store::check(Caller caller, std::string_view path, const std::function<bool(const Permissions&)>& may) const {
    const Tree& tree = view(caller);
    const auto nearest = tree.nearest(path);
    if (!touch(caller, path, Touch::Read) || !touch(caller, nearest, Touch::Read))
        return Errno::ENOSPC_;
    if (!may(tree.find(nearest)->permissions))
        return Errno::EACCES_;
    return nearest == path ? Errno::Ok : Errno::ENOENT_;
}

Errno Store::check(Caller caller, std::string_view path, Access wanted) const {
    return check(caller, path, [&](const Permissions& p) { return allows(p, caller.domid, wanted); });
}

/// The node for reading.
Outcome<const Node*> Store::look(Caller caller, std::string_view path) const {
    const auto absolute = canonical(caller, path);
    if (!absolute.ok())
        return absolute.error();
    if (const Errno error = check(caller, *absolute, Access::Read); error != Errno::Ok)
        return error;
    return view(caller).find(*absolute);
}

Outcome<std::string> Store::get_value(Caller caller, std::string_view path) const {
    const auto node = look(caller, path);
    if (!node.ok())
        return node.error();
    return (*node)->value;
}

Outcome<Store::Listing> Store::get_children(Caller caller, std::string_view path) const {
    const auto node = look(caller, path);
    if (!node.ok())
        return node.error();
    Listing listing{(*node)->generation, {}};
    for (const Child& child : (*node)->children)
        listing.names.append(child.name).push_back('\0');
    return listing;
}

Outcome<Permissions> Store::get_permissions(Caller caller, std::string_view path) const {
    if (is_special(path)) {
        const auto found = special_.find(path);
        if (found == special_.end())
            return Errno::ENOENT_;
        if (!allows(found->second, caller.domid, Access::Read))
            return Errno::EACCES_;
        return found->second;
    }
    const auto node = look(caller, path);
    if (!node.ok())
        return node.error();
    return (*node)->permissions;
}

Errno Store::set_value(Caller caller, std::string_view path, std::string_view value) {
    const auto absolute = canonical(caller, path);
    if (!absolute.ok())
        return absolute.error();
    const Errno error = check(caller, *absolute, Access::Write);
    if (error == Errno::ENOENT_)
        return create_with_parents(caller, *absolute, value);
    if (error != Errno::Ok)
        return error;
    const Node* node = view(caller).find(*absolute);
    if (!caller.privileged() && node->footprint() - node->value.size() + value.size() > quotas_.node_size)
        return Errno::ENOSPC_;
    if (!touch(caller, *absolute, Touch::Changed))
        return Errno::ENOSPC_;
    view(caller).edit(*absolute, ++generation_)->value = value;
    changed(caller, *absolute, nullptr);
    return Errno::Ok;
}

Errno Store::make_node(Caller caller, std::string_view path) {
    const auto absolute = canonical(caller, path);
    if (!absolute.ok())
        return absolute.error();
    const Errno error = check(caller, *absolute, Access::Write);
    if (error == Errno::ENOENT_)
        return create_with_parents(caller, *absolute, {});
    return error;
}

// All limits are checked before anything is made.
Errno Store::create_with_parents(Caller caller, const std::string& path, std::string_view value) {
    Tree& tree = view(caller);
    const std::string existing{tree.nearest(path)};
    const Node* parent = tree.find(existing);
    Permissions inherited = parent->permissions;
    if (!caller.privileged())
        inherited.front().domid = caller.domid;

    std::vector<std::string> wanted; // the missing nodes, top first
    for (std::size_t end = existing == "/" ? 0 : existing.size(); end != path.size();) {
        end = path.find('/', end + 1);
        if (end == std::string::npos)
            end = path.size();
        wanted.push_back(path.substr(0, end));
    }
    if (!caller.privileged()) {
        if (tree.owned_by(caller.domid) + wanted.size() > quotas_.nodes_per_domain)
            return Errno::ENOSPC_;
        std::size_t size = parent->footprint();
        for (const auto& node : wanted) {
            if (size + base_name(node).size() + 1 > quotas_.node_size)
                return Errno::ENOSPC_;
            size = 8 * inherited.size();
        }
        if (size + value.size() > quotas_.node_size)
            return Errno::ENOSPC_;
    }
    if (!touch(caller, existing, Touch::Changed))
        return Errno::ENOSPC_;
    for (const auto& node : wanted) {
        if (!touch(caller, node, Touch::Changed))
            return Errno::ENOSPC_;
    }
    ++generation_;
    Node* made = nullptr;
    for (const auto& node : wanted)
        made = tree.create(node, inherited, generation_);
    made->value = value;
    changed(caller, path, nullptr);
    return Errno::Ok;
}

Errno Store::remove_node(Caller caller, std::string_view path) {
    const auto absolute = canonical(caller, path);
    if (!absolute.ok())
        return absolute.error();
    const std::string parent{parent_path(*absolute)};
    const Errno error = check(caller, *absolute, Access::Write);
    if (error == Errno::ENOENT_)
        return view(caller).find(parent) ? Errno::Ok : Errno::ENOENT_;
    if (error != Errno::Ok)
        return error;
    if (*absolute == "/")
        return Errno::EINVAL_;
    if (!touch(caller, parent, Touch::Changed) || !touch(caller, *absolute, Touch::Removed))
        return Errno::ENOSPC_;
    const Tree before = view(caller);
    view(caller).remove(*absolute, ++generation_);
    changed(caller, *absolute, &before);
    return Errno::Ok;
}

Errno Store::change_permissions(Caller caller, std::string_view path, Permissions permissions) {
    if (permissions.empty())
        return Errno::EINVAL_;
    if (!caller.privileged() && permissions.size() > quotas_.permissions_per_node)
        return Errno::ENOSPC_;
    if (is_special(path))
        return change_special(caller, path, std::move(permissions));
    const auto absolute = canonical(caller, path);
    if (!absolute.ok())
        return absolute.error();
    const Errno error = check(caller, *absolute, [&](const Permissions& p) { return owns(p, caller.domid); });
    if (error != Errno::Ok)
        return error;
    if (!caller.privileged() && permissions.front().domid != caller.domid)
        return Errno::EPERM_;
    const Node* node = view(caller).find(*absolute);
    const auto size = node->footprint() + 8 * permissions.size() - 8 * node->permissions.size();
    if (!caller.privileged() && size > quotas_.node_size)
        return Errno::ENOSPC_;
    if (!touch(caller, *absolute, Touch::Changed))
        return Errno::ENOSPC_;
    const Tree before = view(caller);
    view(caller).set_permissions(*absolute, std::move(permissions), ++generation_);
    changed(caller, *absolute, &before);
    return Errno::Ok;
}

Errno Store::change_special(Caller caller, std::string_view path, Permissions permissions) {
    if (!caller.privileged())
        return Errno::EACCES_;
    const auto found = special_.find(path);
    if (found == special_.end())
        return Errno::ENOENT_;
    found->second = std::move(permissions);
    return Errno::Ok;
}

void Store::changed(Caller caller, std::string_view path, const Tree* before) {
    if (caller.transaction)
        caller.transaction->announce(path);
    else
        watches_.fire(path, tree_, before);
}

Errno Store::commit(DomId domid, const Transaction& transaction) {
    auto merged = transaction.merge(tree_, ++generation_);
    if (!merged.ok())
        return merged.error();
    if (domid != domain0 && merged->owned_by(domid) > quotas_.nodes_per_domain &&
        merged->owned_by(domid) > tree_.owned_by(domid))
        return Errno::ENOSPC_;
    const Tree before = std::exchange(tree_, *std::move(merged));
    for (const std::string& path : transaction.announced()) {
        if (before.find(path) || tree_.find(path)) // else it came and went within the transaction
            watches_.fire(path, tree_, &before);
    }
    return Errno::Ok;
}

Outcome<Watch*> Store::add_watch(EventSink& sink, std::string_view path, std::string_view token) {
    Watch watch{&sink, std::string{path}, std::string{token}, 0, false};
    if (is_special(path)) {
        if (path.size() > abi::XENSTORE_REL_PATH_MAX)
            return Errno::EINVAL_;
    } else {
        auto absolute = canonical({sink.domid()}, path);
        if (!absolute.ok())
            return absolute.error();
        if (!path.starts_with('/'))
            watch.strip = domain_path(sink.domid()).size() + 1;
        watch.path = *std::move(absolute);
    }
    if (sink.domid() != domain0 && watches_.count(sink) >= quotas_.watches_per_domain)
        return Errno::E2BIG_;
    return watches_.add(std::move(watch));
}

Errno Store::remove_watch(EventSink& sink, std::string_view path, std::string_view token) {
    if (is_special(path))
        return watches_.remove(sink, path, token);
    const auto absolute = canonical({sink.domid()}, path);
    return absolute.ok() ? watches_.remove(sink, *absolute, token) : absolute.error();
}

} // namespace parapet::xenstore
