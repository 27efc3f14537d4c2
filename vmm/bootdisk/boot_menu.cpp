// SPDX-License-Identifier: Apache-2.0
// Where distributions keep their boot configuration, and which of several counts.
#include "vmm/bootdisk/boot_menu.hpp"

#include "vmm/bootdisk/btrfs_subvolumes.hpp"
#include "vmm/bootdisk/loader_menu.hpp"
#include "vmm/bootdisk/menu_choice.hpp"
#include "vmm/bootdisk/unread_device.hpp"
#include "vmm/bootdisk/version_order.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace parapet::bootdisk {
namespace {

enum class Format { grub, legacy, extlinux, loader };

struct Candidate {
    Format format;
    const char* path; ///< of the file; for loader, of the folder of its entries
};

/// In the order in which they count: GRUB 2's own, BLS alone, then the older ones. Paths as in the root file system and
/// as in a /boot of its own.
constexpr Candidate candidates[] = {{Format::grub, "/boot/grub/grub.cfg"},
                                    {Format::grub, "/boot/grub2/grub.cfg"},
                                    {Format::grub, "/grub/grub.cfg"},
                                    {Format::grub, "/grub2/grub.cfg"},
                                    {Format::loader, "/loader/entries"},
                                    {Format::loader, "/boot/loader/entries"},
                                    {Format::extlinux, "/boot/extlinux.conf"},
                                    {Format::extlinux, "/boot/extlinux/extlinux.conf"},
                                    {Format::extlinux, "/extlinux.conf"},
                                    {Format::extlinux, "/extlinux/extlinux.conf"},
                                    {Format::extlinux, "/boot/syslinux/syslinux.cfg"},
                                    {Format::extlinux, "/syslinux/syslinux.cfg"},
                                    {Format::extlinux, "/syslinux.cfg"},
                                    {Format::extlinux, "/boot/isolinux/isolinux.cfg"},
                                    {Format::extlinux, "/isolinux/isolinux.cfg"},
                                    {Format::extlinux, "/isolinux.cfg"},
                                    {Format::extlinux, "/boot/syslinux/extlinux.conf"},
                                    {Format::extlinux, "/syslinux/extlinux.conf"},
                                    {Format::legacy, "/boot/grub/menu.lst"},
                                    {Format::legacy, "/boot/grub/grub.conf"},
                                    {Format::legacy, "/grub/menu.lst"},
                                    {Format::legacy, "/grub/grub.conf"},
                                    {Format::grub, "/EFI/debian/grub.cfg"},
                                    {Format::grub, "/EFI/ubuntu/grub.cfg"},
                                    {Format::grub, "/EFI/fedora/grub.cfg"},
                                    {Format::grub, "/EFI/redhat/grub.cfg"},
                                    {Format::grub, "/EFI/BOOT/grub.cfg"}};

/// What was looked at in vain, one device after the other.
std::string looked_at(DiskFiles& disk, const std::map<std::string, std::optional<Subvolumes>>& subvolumes) {
    constexpr std::size_t max_shown = 12;
    std::vector<std::pair<std::string, std::string>> devices; // names and what is said of them
    for (const Volume& volume : disk.volumes()) {
        std::string text = device_text(volume.name) + " has none";
        if (!volume.type.empty()) {
            text += " (" + volume.type + (volume.label.empty() ? "" : ", called '" + printable(volume.label, 40) + "'");
            const auto found = subvolumes.find(volume.name);
            const char* before = ", with the subvolumes ";
            for (std::size_t i = 0; found != subvolumes.end() && found->second && i < found->second->paths.size();
                 i++) {
                text += i < max_shown    ? before + ("'" + printable(found->second->paths[i]) + "'")
                        : i == max_shown ? ", ..."
                                         : "";
                before = ", ";
            }
            text += ")";
        }
        devices.emplace_back(volume.name, std::move(text));
    }
    for (const std::string& device : disk.unread_devices()) {
        const bool few = devices.size() < max_shown;
        devices.emplace_back(device,
                             device_text(device) + " " + (few ? describe_unread(disk, device) : "was not looked into"));
    }
    std::sort(devices.begin(), devices.end(),
              [](const auto& a, const auto& b) { return compare_versions(a.first, b.first) < 0; });
    std::string all;
    for (const auto& [device, text] : devices) {
        all += (all.empty() ? "" : "; ") + text;
    }
    return all.empty() ? "it has no partition" : all;
}

class Finder {
public:
    Finder(DiskFiles& disk, const std::optional<std::string>& wanted, const EntryCheck& usable)
        : disk_{disk}, wanted_{wanted}, usable_{usable} {}

    Result<BootChoice> find() {
        // Where a root may lie: in btrfs's default subvolume, at the top, in the subvolumes of Ubuntu, Debian and
        // Fedora.
        for (const char* subvolume : {"default", "", "/@", "/@rootfs", "/root"}) {
            for (const Candidate& candidate : candidates) {
                for (std::size_t volume = 0; volume < disk_.volumes().size(); volume++) {
                    const auto root = root_of(volume, subvolume);
                    auto choice = root ? look_at(candidate, {volume, *root + candidate.path}, *root) : std::nullopt;
                    if (choice) {
                        return *std::move(choice);
                    }
                }
            }
        }
        if (!failure_.empty()) {
            return Error{failure_};
        }
        return Error{"no boot configuration (of GRUB, the Boot Loader Specification, syslinux) was found on it: " +
                     looked_at(disk_, subvolumes_) + "; name a kernel with --kernel, or install one in it"};
    }

private:
    /// A file of the entry that is on none of the disk's volumes, or nullptr.
    [[nodiscard]] const FilePlace* elsewhere(const BootEntry& entry) const {
        const auto outside = [&](const FilePlace& file) { return file.volume >= disk_.volumes().size(); };
        const auto initrd = std::find_if(entry.initrds.begin(), entry.initrds.end(), outside);
        return outside(entry.kernel) ? &entry.kernel : initrd != entry.initrds.end() ? &*initrd : nullptr;
    }

    bool has_folder(std::size_t volume, const std::string& path) {
        if (roots_.size() != disk_.volumes().size()) {
            for (std::size_t i = 0; i < disk_.volumes().size(); i++) {
                roots_.push_back(disk_.list({i, "/"}));
            }
        }
        const std::string first = path.substr(1, path.find('/', 1) - 1) + "/";
        return std::find(roots_[volume].begin(), roots_[volume].end(), first) != roots_[volume].end();
    }

    /// Nothing: the volume has no such subvolume.
    std::optional<std::string> root_of(std::size_t volume, const std::string& subvolume) {
        if (subvolume == "default") {
            const std::string path = default_subvolume(volume);
            return path.empty() ? std::nullopt : std::optional{path};
        }
        return subvolume.empty() || has_folder(volume, subvolume) ? std::optional{subvolume} : std::nullopt;
    }

    /// Empty: the top one, or this is no btrfs.
    std::string default_subvolume(std::size_t volume) {
        const Volume& asked = disk_.volumes()[volume];
        if (asked.type != "btrfs") {
            return {};
        }
        const auto known = subvolumes_.find(asked.name);
        const auto& found = known != subvolumes_.end()
                                ? known->second
                                : subvolumes_.emplace(asked.name, read_subvolumes(disk_, asked.name)).first->second;
        return found ? found->default_path : std::string{};
    }

    /// Nothing: there is no such configuration, or (see failure_) none that can be used.
    std::optional<BootChoice> look_at(const Candidate& candidate, FilePlace config, const std::string& root) {
        next_.reset();
        const EntryCheck usable = [&](BootEntry& entry) -> Result<void> {
            if (const FilePlace* file = elsewhere(entry)) {
                return Error{(file == &entry.kernel ? "the kernel '" : "the initrd '") + printable(file->path) +
                             "' of its boot entry '" + printable(entry.title) +
                             "' lies on a device that is not on this disk"};
            }
            put_under(root, entry);
            return usable_(entry);
        };
        auto chosen = candidate.format == Format::loader
                          ? from_loader(config.path.substr(0, config.path.rfind(loader_entries_folder)), config, usable)
                          : from_file(candidate.format, config, usable);
        if (!chosen) {
            return std::nullopt;
        }
        if (!*chosen) {
            if (failure_.empty()) {
                failure_ = "its boot configuration '" + printable(config.path) +
                           "' cannot be used: " + chosen->error().message;
            }
            return std::nullopt;
        }
        BootChoice choice{std::move((*chosen)->entry), config, std::move((*chosen)->note), std::move(next_),
                          std::move(offers_)};
        if (!failure_.empty()) {
            choice.note = failure_ + "; taking what '" + printable(config.path) + "' says" +
                          (choice.note.empty() ? "" : ": ") + choice.note;
        }
        return choice;
    }

    std::optional<Result<Chosen>> from_file(Format format, const FilePlace& config, const EntryCheck& usable) {
        const auto text = disk_.read(config);
        if (!text) {
            return std::nullopt;
        }
        switch (format) {
        case Format::legacy:
            return choose_simple(parse_legacy_grub(*text, config, disk_.volumes()), usable);
        case Format::extlinux:
            return choose_simple(parse_extlinux(disk_, *text, config), usable);
        case Format::grub:
        case Format::loader:
            break;
        }
        GrubScript script{disk_, config};
        auto chosen = run_grub(script, usable);
        offers_ = chosen ? offers_of(script) : std::vector<std::string>{};
        if (chosen && !script.saved().empty()) {
            GrubScript later{disk_, config, script.saved()};
            auto next = run_grub(later, usable);
            if (next && !next->entry.boots_as(chosen->entry)) {
                next_ = std::move(next->entry);
            }
        }
        return chosen;
    }

    Result<Chosen> choose_simple(const SimpleMenu& menu, const EntryCheck& usable) {
        offers_ = offers_of(menu);
        return choose_from_simple(menu, wanted_, usable);
    }

    Result<Chosen> run_grub(GrubScript& script, const EntryCheck& usable) {
        if (const auto ran = script.run(); !ran) {
            return ran.error();
        }
        auto chosen = choose_from_grub(script, wanted_, usable);
        for (const std::string& note : script.notes()) {
            if (chosen) {
                chosen->note += (chosen->note.empty() ? "" : "; ") + note;
            } else {
                chosen = Error{chosen.error().message + "; " + note};
            }
        }
        return chosen;
    }

    /// Of all volumes together, as systemd-boot shows them.
    std::optional<Result<Chosen>> from_loader(const std::string& above, FilePlace& config, const EntryCheck& usable) {
        if (!menus_read_.insert(above).second) {
            return std::nullopt;
        }
        SimpleMenu menu = read_loader_menu(disk_, above);
        if (menu.entries.empty()) {
            return std::nullopt;
        }
        std::optional<std::string> wanted = wanted_;
        if (wanted && wanted->ends_with(".conf")) {
            wanted->resize(wanted->size() - 5); // systemd's ids have it
        }
        offers_ = offers_of(menu);
        auto chosen = choose_from_simple(menu, wanted, usable);
        if (chosen) {
            const FilePlace& kernel = chosen->entry.kernel;
            config = {kernel.volume, above + (kernel.is_part() ? unified_images_folder : loader_entries_folder)};
        }
        return chosen;
    }

    /// Paths count from a subvolume's root, where they are there; otherwise from the top.
    void put_under(const std::string& root, BootEntry& entry) {
        const auto move = [&](FilePlace& file) {
            FilePlace moved = file;
            moved.path.insert(0, root);
            if (disk_.exists(moved)) {
                file = std::move(moved);
            }
        };
        if (!root.empty()) {
            move(entry.kernel);
            std::for_each(entry.initrds.begin(), entry.initrds.end(), move);
        }
    }

    DiskFiles& disk_;
    const std::optional<std::string>& wanted_;
    const EntryCheck& usable_;
    std::optional<BootEntry> next_;
    std::vector<std::string> offers_;
    std::vector<std::vector<std::string>> roots_; ///< what lies at the top of each volume, once asked for
    std::map<std::string, std::optional<Subvolumes>> subvolumes_; ///< by the volume's name, once asked for
    std::set<std::string> menus_read_;                            ///< of systemd-boot: folders above them
    std::string failure_;
};

} // namespace

Result<BootChoice> choose_boot_entry(DiskFiles& disk, const std::optional<std::string>& wanted,
                                     const EntryCheck& usable) {
    if (disk.volumes().empty()) {
        return Error{"no file system was found on it: " + looked_at(disk, {}) +
                     "; check that it is the right disk, or name a kernel with --kernel"};
    }
    return Finder{disk, wanted, usable}.find();
}

} // namespace parapet::bootdisk
