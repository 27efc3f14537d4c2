// SPDX-License-Identifier: Apache-2.0
// `parapet list`.
#include "tools/parapet/control_verbs.hpp"
#include "tools/parapet/exit_status.hpp"
#include "vmm/control/client.hpp"
#include "vmm/control/message.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>

namespace parapet::cli {
namespace {

namespace control = vmm::control;
using Cells = std::array<std::string, 9>;

/// What a domain says of itself. One that does not answer starts just now, or hangs: it is listed as busy.
std::optional<boost::json::object> ask_for_info(const std::string& name) {
    using namespace std::chrono_literals;
    auto client = control::Client::open(name);
    if (!client) {
        return std::nullopt; // a dead domain's socket
    }
    if (auto info = client->call({{"request", "info"}}, {}, 1s)) {
        info->stable_erase("ok");
        info->stable_erase("version");
        return *std::move(info);
    }
    return boost::json::object{{"name", name}, {"pid", client->peer()}, {"state", "busy"}};
}

std::string number_or_dash(const boost::json::object& object, std::string_view name) {
    const auto number = control::number_member(object, name);
    return number ? std::to_string(*number) : "-";
}

std::string mib_or_dash(const boost::json::object& domain, std::string_view name) {
    const auto* memory = domain.if_contains("memory");
    if (memory == nullptr || !memory->is_object()) {
        return "-";
    }
    const auto bytes = control::number_member(memory->get_object(), name);
    return bytes ? std::to_string(*bytes >> 20) + "M" : "-";
}

std::string uptime(const boost::json::object& domain) {
    const auto* value = domain.if_contains("uptime_s");
    const double* seconds = value == nullptr ? nullptr : value->if_double();
    if (seconds == nullptr) {
        return "-";
    }
    const auto whole = static_cast<std::uint64_t>(std::clamp(*seconds, 0.0, 1e12));
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%llu:%02u:%02u", static_cast<unsigned long long>(whole / 3600),
                  static_cast<unsigned>(whole / 60 % 60), static_cast<unsigned>(whole % 60));
    return text.data();
}

std::string devices(const boost::json::object& domain) {
    const auto* list = domain.if_contains("devices");
    std::string names;
    if (list != nullptr && list->is_array()) {
        for (const auto& device : list->get_array()) {
            const auto name = device.is_object() ? control::text_member(device.get_object(), "name") : std::nullopt;
            names += (names.empty() ? "" : ",") + name.value_or("?");
        }
    }
    return names.empty() ? "-" : names;
}

Cells row_of(const boost::json::object& domain) {
    return {control::text_member(domain, "name").value_or("?"),
            number_or_dash(domain, "pid"),
            number_or_dash(domain, "domid"),
            control::text_member(domain, "state").value_or("?"),
            mib_or_dash(domain, "now_bytes"),
            mib_or_dash(domain, "maximum_bytes"),
            number_or_dash(domain, "vcpus"),
            uptime(domain),
            devices(domain)};
}

} // namespace

std::string domain_table(const std::vector<boost::json::object>& domains) {
    std::vector<Cells> rows{{"NAME", "PID", "ID", "STATE", "MEMORY", "MAX", "VCPUS", "UPTIME", "DEVICES"}};
    for (const auto& domain : domains) {
        rows.push_back(row_of(domain));
    }
    std::array<std::size_t, std::tuple_size_v<Cells>> widths{};
    for (const Cells& row : rows) {
        for (std::size_t i = 0; i < row.size(); i++) {
            widths[i] = std::max(widths[i], row[i].size());
        }
    }
    std::string table;
    for (const Cells& row : rows) {
        for (std::size_t i = 0; i < row.size(); i++) {
            const bool last = i + 1 == row.size();
            table += row[i] + (last ? "\n" : std::string(widths[i] - row[i].size() + 2, ' '));
        }
    }
    return table;
}

int list_domains(const ControlOptions& options) {
    std::vector<boost::json::object> domains;
    for (const std::string& name : control::domain_names()) {
        if (auto info = ask_for_info(name)) {
            domains.push_back(*std::move(info));
        }
    }
    std::string text;
    if (options.json) {
        text = boost::json::serialize(boost::json::array(domains.begin(), domains.end())) + "\n";
    } else {
        text = domain_table(domains);
    }
    const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
    return written ? exit_powered_off : exit_failed;
}

} // namespace parapet::cli
