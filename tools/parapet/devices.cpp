// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/devices.hpp"

#include "backends/disk/disk_source.hpp"
#include "backends/nbd/nbd_source.hpp"
#include "backends/net/net_source.hpp"
#include "support/log_output.hpp"

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parapet::cli {

namespace {

using Sources = std::vector<std::unique_ptr<devices::DeviceSource>>;
using Taken = std::set<std::pair<std::string, unsigned>>;

/// How targets other than raw images are opened.
std::span<const disk::TargetKind> target_kinds() {
    static const std::array kinds{
        nbd::nbd_kind([](std::string_view sentence) { log_text("parapet: disk " + std::string{sentence} + "\n"); })};
    return kinds;
}

std::set<unsigned> ids_of(std::string_view kind, const Taken& taken) {
    std::set<unsigned> ids;
    for (const auto& [taken_kind, id] : taken) {
        if (taken_kind == kind) {
            ids.insert(id);
        }
    }
    return ids;
}

unsigned next_free(const std::set<unsigned>& taken) {
    unsigned id = 0;
    while (taken.contains(id)) {
        id++;
    }
    return id;
}

/// Disks that name their vdev first, so that the others get what is left, in order.
Result<void> open_disks(const RunOptions& options, Sources& sources) {
    std::set<disk::VdevNumber> taken;
    for (const disk::DiskSpec& spec : options.disks) {
        if (spec.vdev && !taken.insert(*spec.vdev).second) {
            return Error{"two disks are to be " + disk::vdev_name(*spec.vdev) +
                         ": give one of them another name (vdev=)"};
        }
    }
    for (disk::DiskSpec spec : options.disks) {
        if (!spec.vdev) {
            spec.vdev = disk::next_free_vdev(taken);
            taken.insert(*spec.vdev);
        }
        auto opened = disk::open_disk(std::move(spec), target_kinds());
        if (!opened) {
            return opened.error();
        }
        sources.push_back(*std::move(opened));
    }
    return {};
}

/// Interfaces that name their devid first, likewise.
Result<void> open_vifs(const RunOptions& options, Sources& sources) {
    std::set<unsigned> taken;
    for (const net::VifSpec& spec : options.vifs) {
        if (spec.devid && !taken.insert(*spec.devid).second) {
            return Error{"two interfaces are to have devid=" + std::to_string(*spec.devid) +
                         ": give one another number"};
        }
    }
    for (const net::VifSpec& spec : options.vifs) {
        const unsigned id = spec.devid.value_or(next_free(taken));
        taken.insert(id);
        auto opened = net::open_vif(spec, id);
        if (!opened) {
            return opened.error();
        }
        sources.push_back(*std::move(opened));
    }
    return {};
}

Result<std::unique_ptr<devices::DeviceSource>> take_over(devices::Handover handover, const Taken& taken) {
    const auto* value = handover.description.if_contains("kind");
    const std::string_view kind = value != nullptr && value->is_string() ? std::string_view{value->get_string()} : "";
    if (kind == disk::disk_device_kind) {
        const auto numbers = ids_of(kind, taken);
        return disk::disk_from_handover(std::move(handover), target_kinds(), disk::next_free_vdev(numbers));
    }
    if (kind == net::vif_device_kind) {
        return net::net_from_handover(std::move(handover), next_free(ids_of(kind, taken)));
    }
    return Error{"a device came without a kind that this version knows; use the same version of parapet for both"};
}

} // namespace

devices::DeviceFactory device_factory(const RunOptions& options) {
    devices::DeviceFactory factory;
    factory.open = [options]() -> Result<Sources> {
        Sources sources;
        if (auto opened = open_disks(options, sources); !opened) {
            return opened.error();
        }
        if (auto opened = open_vifs(options, sources); !opened) {
            return opened.error();
        }
        return sources;
    };
    factory.from_handover = take_over;
    return factory;
}

Result<std::unique_ptr<devices::DeviceSource>> open_device(const std::string& kind, const std::string& spec) {
    if (kind == "disk") {
        auto parsed = disk::parse_disk_spec(spec);
        return parsed ? disk::open_disk(*std::move(parsed), target_kinds()) : parsed.error();
    }
    if (kind == "vif") {
        const auto parsed = net::parse_vif(spec);
        return parsed ? net::open_vif(*parsed, 0) : parsed.error();
    }
    return Error{"'" + kind + "' is no kind of device: write disk or vif"};
}

} // namespace parapet::cli
