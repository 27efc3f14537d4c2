// SPDX-License-Identifier: Apache-2.0
// Builds a PV guest's tree. Three kinds of nodes: read-only for the guest (n0,rN), the guest's own (nN), and Domain0's.
#include "iorings/xenstore/domain_tree.hpp"

#include "support/base_name.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace parapet::xenstore {
namespace {

bool is_uuid(std::string_view text) {
    if (text.size() != 36)
        return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !std::isxdigit(static_cast<unsigned char>(text[i])))
            return false;
    }
    return true;
}

Result<void> check(const DomainTreeConfig& config) {
    const auto number = std::to_string(static_cast<unsigned>(config.domid));
    if (config.domid == domain0 || !parse_domid(number).ok())
        return Error{"xenstore: domain number " + number + " is not a guest's; choose one from 1 to 32751."};
    if (config.name.empty() || config.name.find('\0') != std::string::npos)
        return Error{"xenstore: the domain has no usable name; give it one of at least one character."};
    if (!is_uuid(config.uuid))
        return Error{"xenstore: \"" + config.uuid + "\" is not a UUID; write it as 8-4-4-4-12 hexadecimal digits."};
    if (config.vcpus == 0 || config.vcpus > config.max_vcpus)
        return Error{"xenstore: the number of online vCPUs must lie between 1 and the maximum, " +
                     std::to_string(config.max_vcpus) + "."};
    return {};
}

/// Writes nodes and keeps the first error.
class Builder {
public:
    explicit Builder(Store& store) : store_{store} {}

    void value(const std::string& path, std::string_view text) { note(store_.write(path, text)); }
    void value(const std::string& path, std::uint64_t number) { value(path, std::to_string(number)); }
    void node(const std::string& path, const Permissions& permissions) {
        note(store_.mkdir(path));
        note(store_.set_permissions(path, permissions));
    }
    [[nodiscard]] Result<void> result() const { return result_; }

private:
    void note(const Result<void>& done) {
        if (result_.ok() && !done.ok())
            result_ = done;
    }

    Store& store_;
    Result<void> result_;
};

/// Nodes that the guest owns: it makes children, and writes what it likes.
constexpr std::array guest_nodes{
    "control/shutdown",
    "control/sysrq",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/feature-halt",
    "device/suspend/event-channel",
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
};

void build_console(Builder& build, const DomainTreeConfig& config, const Permissions& read_only) {
    const auto number = std::to_string(static_cast<unsigned>(config.domid));
    const auto front = domain_path(config.domid) + "/console";
    const auto back = domain_path(domain0) + "/backend/console/" + number + "/0";
    build.node(back, read_only);
    build.value(back + "/frontend", front);
    build.value(back + "/frontend-id", number);
    build.value(back + "/online", 1);
    build.value(back + "/state", 1);
    build.value(back + "/protocol", "vt100");
    build.node(front, read_only);
    build.value(front + "/backend", back);
    build.value(front + "/backend-id", "0");
    build.value(front + "/type", config.console_type);
    build.value(front + "/output", "pty");
    build.value(front + "/tty", config.console_tty);
    build.value(front + "/limit", config.console_limit);
    build.value(front + "/ring-ref", config.console_ring_ref);
    build.value(front + "/port", config.console_port);
}

void build_vm(Builder& build, const DomainTreeConfig& config, const Permissions& read_only) {
    const auto vm = "/vm/" + config.uuid;
    build.node(vm, read_only);
    build.value(vm + "/uuid", config.uuid);
    build.value(vm + "/name", config.name);
    build.value(vm + "/image/ostype", "linux");
    // The guest reads this: no paths of the host.
    build.value(vm + "/image/kernel", base_name(config.kernel));
    build.value(vm + "/image/ramdisk", base_name(config.ramdisk));
    build.value(vm + "/image/cmdline", config.cmdline);
}

} // namespace

Result<void> build_domain_tree(Store& store, const DomainTreeConfig& config) {
    if (auto checked = check(config); !checked.ok())
        return checked;
    remove_domain_tree(store, config);
    const Permissions read_only{{domain0, Access::None}, {config.domid, Access::Read}};
    const Permissions own{{config.domid, Access::None}};
    const auto home = domain_path(config.domid);
    Builder build{store};

    build.value(domain_path(domain0) + "/name", "Domain-0");
    build.value(domain_path(domain0) + "/domid", "0");
    build.node(home, read_only);
    build.value(home + "/name", config.name);
    build.value(home + "/domid", static_cast<unsigned>(config.domid));
    build.value(home + "/vm", "/vm/" + config.uuid);
    for (const char* directory : {"/cpu", "/memory", "/device", "/control"})
        build.node(home + directory, read_only);
    for (unsigned cpu = 0; cpu < config.max_vcpus; ++cpu)
        build.value(home + "/cpu/" + std::to_string(cpu) + "/availability", cpu < config.vcpus ? "online" : "offline");
    build.value(home + "/memory/static-max", config.memory_max_kib);
    build.value(home + "/memory/target", config.memory_target_kib);
    build.value(home + "/memory/videoram", std::uint64_t{0});
    build.value(home + "/control/platform-feature-multiprocessor-suspend", 1);
    build.value(home + "/control/platform-feature-xs_reset_watches", 1);
    for (const char* path : guest_nodes)
        build.node(home + '/' + path, own);
    build.value(home + "/store/port", config.store_port);
    build.value(home + "/store/ring-ref", config.store_ring_ref);
    build_console(build, config, read_only);
    build_vm(build, config, read_only);

    if (build.result().ok())
        store.introduce_domain(config.domid);
    return build.result();
}

void remove_domain_tree(Store& store, const DomainTreeConfig& config) {
    const auto backends = domain_path(domain0) + "/backend";
    if (const auto kinds = store.list(backends); kinds.ok()) {
        for (const auto& kind : *kinds)
            (void)store.rm(backends + '/' + kind + '/' + std::to_string(static_cast<unsigned>(config.domid)));
    }
    (void)store.rm(domain_path(config.domid));
    (void)store.rm("/vm/" + config.uuid);
    if (store.is_introduced(config.domid))
        store.release_domain(config.domid);
}

Result<void> request_shutdown(Store& store, DomId domid, std::string_view reason) {
    constexpr std::array<std::string_view, 5> reasons{"poweroff", "reboot", "halt", "suspend", "crash"};
    if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end())
        return Error{"xenstore: \"" + std::string{reason} +
                     "\" is no way to shut down; use poweroff, reboot, halt, suspend or crash."};
    return store.write(domain_path(domid) + "/control/shutdown", reason);
}

std::optional<int> exit_code(const Store& store, DomId domid) {
    const auto text = store.read(domain_path(domid) + "/data/exit-code");
    if (!text.ok())
        return std::nullopt;
    std::string_view digits = *text;
    while (!digits.empty() && (digits.back() == '\n' || digits.back() == ' ' || digits.back() == '\0'))
        digits.remove_suffix(1);
    int code = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code);
    if (error != std::errc{} || end != digits.data() + digits.size() || code < 0 || code > 255)
        return std::nullopt;
    return code;
}

} // namespace parapet::xenstore
