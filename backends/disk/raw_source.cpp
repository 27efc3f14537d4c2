// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/raw_source.hpp"

#include "backends/disk/image_file.hpp"
#include "backends/disk/raw_target.hpp"

#include <utility>

namespace parapet::disk {
namespace {

constexpr const char* kind_name = "raw";

class RawSource final : public TargetSource {
public:
    explicit RawSource(ImageFile image) : image_{std::move(image)} {}

    std::unique_ptr<DiskTarget> make_target(io::IoThread& io) override {
        return std::make_unique<RawTarget>(image_, io);
    }
    std::string describe() const override {
        return image_.path + " (raw, " + (image_.direct ? "direct I/O" : "page cache") +
               (image_.note.empty() ? "" : "; " + image_.note) + ")";
    }
    devices::Handover to_handover() && override {
        devices::Handover handover;
        handover.description = {{"source", kind_name}, {"path", image_.path}};
        handover.descriptors.push_back(std::move(image_.main));
        if (image_.buffered.valid()) {
            handover.descriptors.push_back(std::move(image_.buffered));
        }
        return handover;
    }

private:
    ImageFile image_;
};

Result<std::unique_ptr<TargetSource>> make(Result<ImageFile> image) {
    if (!image) {
        return image.error();
    }
    return std::unique_ptr<TargetSource>{std::make_unique<RawSource>(*std::move(image))};
}

Result<std::unique_ptr<TargetSource>> adopt(devices::Handover handover) {
    const auto* path = handover.description.if_contains("path");
    auto& descriptors = handover.descriptors;
    if (path == nullptr || !path->is_string() || descriptors.empty() || descriptors.size() > 2) {
        return Error{"a disk image came without its path or its descriptors"};
    }
    UniqueFd buffered = descriptors.size() == 2 ? std::move(descriptors[1]) : UniqueFd{};
    return make(adopt_image(std::string{path->get_string()}, std::move(descriptors[0]), std::move(buffered)));
}

} // namespace

TargetKind raw_kind() {
    return {kind_name, [](const DiskSpec& spec) { return make(open_image(spec)); }, adopt};
}

} // namespace parapet::disk
