// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/loader_menu.hpp"

#include "vmm/bootdisk/bls.hpp"
#include "vmm/bootdisk/grubenv.hpp"
#include "vmm/bootdisk/unified_image.hpp"

#include <algorithm>
#include <fnmatch.h>
#include <iterator>

namespace parapet::bootdisk {
namespace {

/// Fedora's entries may have variables of GRUB's environment block.
class Environment {
public:
    void read(DiskFiles& disk, std::size_t volume) {
        for (const char* file : {"/grub2/grubenv", "/boot/grub2/grubenv", "/grub/grubenv"}) {
            if (values_.empty()) {
                values_ = parse_grubenv(disk.read({volume, file}).value_or(""));
            }
        }
    }
    [[nodiscard]] std::string operator()(const std::string& name) const {
        const auto found =
            std::find_if(values_.begin(), values_.end(), [&](const auto& pair) { return pair.first == name; });
        return found == values_.end() ? std::string{} : found->second;
    }

private:
    std::vector<std::pair<std::string, std::string>> values_;
};

/// An entry that names an EFI program is one of ours if that is a unified kernel image. Its own options come before
/// those of the image.
bool resolve(DiskFiles& disk, BlsEntry& entry) {
    if (!entry.boot.kernel.path.empty()) {
        return true;
    }
    auto image = read_unified_image(disk, {entry.boot.kernel.volume, entry.image});
    if (!image) {
        return false;
    }
    entry.boot.kernel = std::move(image->boot.kernel);
    entry.boot.initrds = std::move(image->boot.initrds);
    if (entry.boot.cmdline.empty()) {
        entry.boot.cmdline = std::move(image->boot.cmdline);
    }
    return true;
}

bool matches(const std::string& pattern, const BootEntry& entry) {
    return fnmatch(pattern.c_str(), entry.id.c_str(), 0) == 0 ||
           fnmatch(pattern.c_str(), (entry.id + ".conf").c_str(), 0) == 0;
}

} // namespace

SimpleMenu read_loader_menu(DiskFiles& disk, const std::string& above) {
    std::vector<BlsEntry> entries;
    std::string pattern;
    std::string saved;
    for (std::size_t volume = 0; volume < disk.volumes().size(); volume++) {
        std::vector<BlsEntry> found = read_unified_images(disk, {volume, above + unified_images_folder});
        const FilePlace folder{volume, above + loader_entries_folder};
        if (!disk.list(folder).empty()) {
            Environment environment;
            environment.read(disk, volume);
            saved = saved.empty() ? environment("saved_entry") : saved;
            auto more = read_bls_entries(disk, folder, environment);
            std::move(more.begin(), more.end(), std::back_inserter(found));
        }
        for (BlsEntry& entry : found) {
            if (resolve(disk, entry)) {
                entries.push_back(std::move(entry));
            }
        }
        if (pattern.empty()) {
            pattern = default_of_loader_conf(disk.read({volume, above + "/loader/loader.conf"}).value_or(""));
        }
    }
    SimpleMenu menu{in_order(std::move(entries)), std::move(saved), {}};
    const auto wanted = std::find_if(menu.entries.begin(), menu.entries.end(),
                                     [&](const BootEntry& entry) { return matches(pattern, entry); });
    if (!pattern.empty() && wanted != menu.entries.end()) {
        menu.default_entry = wanted->id;
    }
    return menu;
}

} // namespace parapet::bootdisk
