// SPDX-License-Identifier: Apache-2.0
// A disk of the tests: file systems as maps from paths to texts.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace parapet::bootdisk::test {

class FakeDisk final : public DiskFiles {
public:
    using Files = std::map<std::string, std::string>;

    FakeDisk& add(Volume volume, Files files) {
        volumes_.push_back(std::move(volume));
        files_.push_back(std::move(files));
        return *this;
    }

    [[nodiscard]] const std::vector<Volume>& volumes() const override { return volumes_; }
    [[nodiscard]] std::optional<std::string> read(const FilePlace& place) override {
        if (place.volume >= files_.size()) {
            return std::nullopt;
        }
        const auto found = files_.at(place.volume).find(place.path);
        if (found == files_[place.volume].end() || place.offset > found->second.size()) {
            return std::nullopt;
        }
        return found->second.substr(place.offset, place.is_part() ? place.length : std::string::npos);
    }
    [[nodiscard]] std::vector<std::string> list(const FilePlace& place) override {
        const std::string folder = place.path.ends_with('/') ? place.path : place.path + "/";
        std::set<std::string> names;
        if (place.volume >= files_.size()) {
            return {};
        }
        for (const auto& [path, text] : files_.at(place.volume)) {
            if (path.starts_with(folder)) {
                const std::string rest = path.substr(folder.size());
                names.insert(rest.substr(0, rest.find('/') == std::string::npos ? rest.size() : rest.find('/') + 1));
            }
        }
        return {names.begin(), names.end()};
    }
    [[nodiscard]] bool exists(const FilePlace& place) override { return read(place) || !list(place).empty(); }
    [[nodiscard]] Result<std::uint64_t> copy(const FilePlace&, int, std::uint64_t) override { return Error{"fake"}; }

private:
    std::vector<Volume> volumes_;
    std::vector<Files> files_;
};

/// A file of corpus/: a configuration in the shape in which the named distribution writes it.
inline std::string corpus(const std::string& name) {
    std::ifstream file{std::string{BOOTDISK_CORPUS} + "/" + name};
    std::stringstream text;
    text << file.rdbuf();
    if (text.str().empty()) {
        throw std::runtime_error{"no corpus file " + name};
    }
    return text.str();
}

} // namespace parapet::bootdisk::test
