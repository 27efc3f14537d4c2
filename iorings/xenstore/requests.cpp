// SPDX-License-Identifier: Apache-2.0
// The wire protocol's requests (Xen: docs/misc/xenstore.txt).
#include "iorings/xenstore/requests.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace parapet::xenstore {
namespace {

std::string terminated(std::string_view text) {
    return std::string{text} + '\0';
}

Outcome<std::string> acknowledge(Errno error) {
    if (error != Errno::Ok)
        return error;
    return terminated("OK");
}

} // namespace

// Every request there is. The others are ENOSYS.
const RequestHandler::Entry RequestHandler::table[] = {
    {abi::XS_CONTROL, &RequestHandler::privileged, false},
    {abi::XS_DIRECTORY, &RequestHandler::directory, true},
    {abi::XS_READ, &RequestHandler::read, true},
    {abi::XS_GET_PERMS, &RequestHandler::get_perms, true},
    {abi::XS_WATCH, &RequestHandler::watch, false},
    {abi::XS_UNWATCH, &RequestHandler::unwatch, false},
    {abi::XS_TRANSACTION_START, &RequestHandler::transaction_start, true},
    {abi::XS_TRANSACTION_END, &RequestHandler::transaction_end, true},
    {abi::XS_INTRODUCE, &RequestHandler::privileged, false},
    {abi::XS_RELEASE, &RequestHandler::privileged, false},
    {abi::XS_GET_DOMAIN_PATH, &RequestHandler::get_domain_path, true},
    {abi::XS_WRITE, &RequestHandler::write, true},
    {abi::XS_MKDIR, &RequestHandler::mkdir, true},
    {abi::XS_RM, &RequestHandler::rm, true},
    {abi::XS_SET_PERMS, &RequestHandler::set_perms, true},
    {abi::XS_IS_DOMAIN_INTRODUCED, &RequestHandler::is_domain_introduced, true},
    {abi::XS_RESUME, &RequestHandler::privileged, false},
    {abi::XS_SET_TARGET, &RequestHandler::privileged, false},
    {abi::XS_RESET_WATCHES, &RequestHandler::reset_watches, true},
    {abi::XS_DIRECTORY_PART, &RequestHandler::directory_part, true},
};

Outcome<std::string> RequestHandler::run() {
    const auto entry =
        std::find_if(std::begin(table), std::end(table), [&](const Entry& e) { return e.op == header_.type; });
    if (entry == std::end(table))
        return Errno::ENOSYS_;
    caller_ = {connection_.domid_, nullptr};
    if (entry->takes_transaction && header_.tx_id != 0) {
        const auto open = connection_.transactions_.find(header_.tx_id);
        if (open == connection_.transactions_.end())
            return Errno::ENOENT_;
        caller_.transaction = &open->second;
    }
    return (this->*entry->serve)();
}

std::vector<std::string_view> RequestHandler::strings(std::size_t limit) const {
    std::vector<std::string_view> found;
    auto rest = payload_;
    for (auto end = rest.find('\0'); end != std::string_view::npos && found.size() < limit; end = rest.find('\0')) {
        found.push_back(rest.substr(0, end));
        rest.remove_prefix(end + 1);
    }
    return found;
}

Outcome<std::string_view> RequestHandler::only_string() const {
    if (payload_.empty() || payload_.find('\0') != payload_.size() - 1)
        return Errno::EINVAL_;
    return payload_.substr(0, payload_.size() - 1);
}

Outcome<std::string> RequestHandler::directory() {
    const auto path = only_string();
    if (!path.ok())
        return path.error();
    auto listing = store_.get_children(caller_, *path);
    if (!listing.ok())
        return listing.error();
    return std::move(listing->names);
}

// "generation|names from the offset on, as many as fit|", and one NUL more after the last of all names.
Outcome<std::string> RequestHandler::directory_part() {
    const auto arguments = strings(2);
    if (arguments.size() != 2)
        return Errno::EINVAL_;
    std::size_t offset = 0;
    const auto text = arguments[1];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
    if (error != std::errc{} || end != text.data() + text.size())
        return Errno::EINVAL_;
    const auto listing = store_.get_children(caller_, arguments[0]);
    if (!listing.ok())
        return listing.error();

    std::string reply = terminated(std::to_string(listing->generation));
    std::string_view rest = std::string_view{listing->names}.substr(std::min(offset, listing->names.size()));
    const std::size_t room = abi::XENSTORE_PAYLOAD_MAX - reply.size() - 1;
    while (!rest.empty()) {
        const auto length = rest.find('\0') + 1; // names end with a NUL always
        if (reply.size() + length > room)
            return reply;
        reply.append(rest.substr(0, length));
        rest.remove_prefix(length);
    }
    reply.push_back('\0');
    return reply;
}

Outcome<std::string> RequestHandler::read() {
    const auto path = only_string();
    return path.ok() ? store_.get_value(caller_, *path) : path.error();
}

Outcome<std::string> RequestHandler::write() {
    const auto arguments = strings(1);
    if (arguments.empty())
        return Errno::EINVAL_;
    return acknowledge(store_.set_value(caller_, arguments[0], payload_.substr(arguments[0].size() + 1)));
}

Outcome<std::string> RequestHandler::mkdir() {
    const auto path = only_string();
    return acknowledge(path.ok() ? store_.make_node(caller_, *path) : path.error());
}

Outcome<std::string> RequestHandler::rm() {
    const auto path = only_string();
    return acknowledge(path.ok() ? store_.remove_node(caller_, *path) : path.error());
}

Outcome<std::string> RequestHandler::get_perms() {
    const auto path = only_string();
    if (!path.ok())
        return path.error();
    const auto permissions = store_.get_permissions(caller_, *path);
    if (!permissions.ok())
        return permissions.error();
    std::string reply;
    for (const Permission& permission : *permissions)
        reply += terminated(to_string(permission));
    return reply;
}

Outcome<std::string> RequestHandler::set_perms() {
    const auto arguments = strings(std::numeric_limits<std::size_t>::max());
    if (arguments.size() < 2)
        return Errno::EINVAL_;
    Permissions permissions;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        const auto permission = parse_permission(arguments[i]);
        if (!permission.ok())
            return permission.error();
        permissions.push_back(*permission);
    }
    return acknowledge(store_.change_permissions(caller_, arguments[0], std::move(permissions)));
}

Outcome<std::string> RequestHandler::watch() {
    const auto arguments = strings(2);
    if (arguments.size() != 2)
        return Errno::EINVAL_;
    const auto watch = store_.add_watch(connection_, arguments[0], arguments[1]);
    if (!watch.ok())
        return watch.error();
    connection_.on_event(**watch, (*watch)->path);
    return acknowledge(Errno::Ok);
}

Outcome<std::string> RequestHandler::unwatch() {
    const auto arguments = strings(2);
    if (arguments.size() != 2)
        return Errno::EINVAL_;
    return acknowledge(store_.remove_watch(connection_, arguments[0], arguments[1]));
}

Outcome<std::string> RequestHandler::reset_watches() {
    store_.watches().remove_all(connection_);
    connection_.transactions_.clear();
    return acknowledge(Errno::Ok);
}

Outcome<std::string> RequestHandler::transaction_start() {
    if (caller_.transaction)
        return Errno::EBUSY_;
    auto& open = connection_.transactions_;
    if (!caller_.privileged() && open.size() >= store_.quotas().transactions)
        return Errno::ENOSPC_;
    std::uint32_t& id = connection_.last_transaction_;
    do {
        ++id;
    } while (id == 0 || open.contains(id));
    open.emplace(id, store_.begin());
    return terminated(std::to_string(id));
}

Outcome<std::string> RequestHandler::transaction_end() {
    const auto how = only_string();
    if (!how.ok() || (*how != "T" && *how != "F"))
        return Errno::EINVAL_;
    if (!caller_.transaction)
        return Errno::ENOENT_;
    const auto ended = connection_.transactions_.extract(header_.tx_id);
    return acknowledge(*how == "T" ? store_.commit(caller_.domid, ended.mapped()) : Errno::Ok);
}

Outcome<std::string> RequestHandler::get_domain_path() {
    const auto text = only_string();
    if (!text.ok())
        return text.error();
    const auto domid = parse_domid(*text);
    if (!domid.ok())
        return domid.error();
    return terminated(domain_path(*domid));
}

Outcome<std::string> RequestHandler::is_domain_introduced() {
    const auto text = only_string();
    if (!text.ok())
        return text.error();
    const auto domid = parse_domid(*text, true);
    if (!domid.ok())
        return domid.error();
    return terminated(*domid == domid_self || store_.is_introduced(*domid) ? "T" : "F");
}

/// Requests of the toolstack. Here it does not speak the wire protocol, so that Domain0 has no use for them either.
Outcome<std::string> RequestHandler::privileged() {
    return caller_.privileged() ? Errno::ENOSYS_ : Errno::EACCES_;
}

} // namespace parapet::xenstore
