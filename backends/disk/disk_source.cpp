// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/disk_source.hpp"

#include "backends/disk/block_backend.hpp"
#include "backends/disk/raw_source.hpp"

#include <string>
#include <utility>

namespace parapet::disk {
namespace {

class DiskSource final : public devices::DeviceSource {
public:
    DiskSource(DiskSpec spec, std::unique_ptr<TargetSource> target)
        : spec_{std::move(spec)}, target_{std::move(target)} {}

    std::string kind() const override { return disk_device_kind; }
    unsigned id() const override { return spec_.vdev.value_or(0); }
    std::string name() const override { return vdev_name(id()); }
    std::string describe() const override {
        return name() + " " + target_->describe() + (spec_.read_only ? ", read-only" : ", read-write") +
               (spec_.cdrom       ? ", cdrom"
                : spec_.removable ? ", removable"
                                  : "");
    }
    std::unique_ptr<devices::DeviceBackend> make_backend(const devices::BackendContext& context) override {
        return std::make_unique<BlockBackend>(context, spec_, target_->make_target(context.io), spec_.target);
    }
    devices::Handover to_handover() && override {
        devices::Handover handover = std::move(*target_).to_handover();
        handover.description = {
            {"kind", disk_device_kind}, {"disk", disk_spec_text(spec_)}, {"target", std::move(handover.description)}};
        return handover;
    }
    void close(boost::asio::io_context& control, std::function<void()> done) override {
        target_->close(control, std::move(done));
    }

private:
    const DiskSpec spec_;
    std::unique_ptr<TargetSource> target_;
};

const TargetKind* find_kind(std::span<const TargetKind> kinds, std::string_view name) {
    for (const TargetKind& kind : kinds) {
        if (kind.name == name) {
            return &kind;
        }
    }
    return nullptr;
}

/// The text of a member of a description.
Result<std::string> text_of(const boost::json::object& description, const char* member) {
    const auto* value = description.if_contains(member);
    if (value == nullptr || !value->is_string()) {
        return Error{std::string{"a disk's description came without its '"} + member + "'"};
    }
    return std::string{value->get_string()};
}

std::unique_ptr<devices::DeviceSource> disk(DiskSpec spec, std::unique_ptr<TargetSource> target) {
    return std::make_unique<DiskSource>(std::move(spec), std::move(target));
}

} // namespace

VdevNumber next_free_vdev(const std::set<VdevNumber>& taken) {
    unsigned index = 0;
    while (taken.contains(xvd_disk(index))) {
        ++index;
    }
    return xvd_disk(index);
}

Result<std::unique_ptr<devices::DeviceSource>> open_disk(DiskSpec spec, std::span<const TargetKind> kinds) {
    const TargetKind raw = raw_kind();
    const TargetKind* kind = spec.needs_nbd() ? find_kind(kinds, "nbd") : &raw;
    if (kind == nullptr) {
        return Error{"disk '" + spec.target + "': only raw images and block devices can be used here"};
    }
    auto target = kind->open(spec);
    if (!target) {
        return target.error();
    }
    return disk(std::move(spec), *std::move(target));
}

Result<std::unique_ptr<devices::DeviceSource>>
disk_from_handover(devices::Handover handover, std::span<const TargetKind> kinds, VdevNumber default_vdev) {
    const auto text = text_of(handover.description, "disk");
    if (!text) {
        return text.error();
    }
    auto spec = parse_disk_spec(*text);
    if (!spec) {
        return spec.error();
    }
    spec->vdev = spec->vdev.value_or(default_vdev);
    const auto* inner = handover.description.if_contains("target");
    if (inner == nullptr || !inner->is_object()) {
        return Error{"a disk's description came without its 'target'"};
    }
    boost::json::object target_description = inner->get_object();
    const auto source = text_of(target_description, "source");
    if (!source) {
        return source.error();
    }
    const TargetKind raw = raw_kind();
    const TargetKind* kind = *source == raw.name ? &raw : find_kind(kinds, *source);
    if (kind == nullptr) {
        return Error{"disk '" + spec->target + "': no target of kind '" + *source + "' can be taken over"};
    }
    auto target = kind->from_handover({std::move(target_description), std::move(handover.descriptors)});
    if (!target) {
        return target.error();
    }
    return disk(*std::move(spec), *std::move(target));
}

} // namespace parapet::disk
