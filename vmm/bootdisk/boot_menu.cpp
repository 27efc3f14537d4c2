// SPDX-License-Identifier: Apache-2.0
// Where distributions keep their boot configuration, and which of several counts.
#include "vmm/bootdisk/boot_menu.hpp"

#include "vmm/bootdisk/bls.hpp"
#include "vmm/bootdisk/grubenv.hpp"
#include "vmm/bootdisk/menu_choice.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <fnmatch.h>
#include <iterator>

namespace parapet::bootdisk {
namespace {

enum class Format { grub, legacy, extlinux, bls };

struct Candidate {
    Format format;
    const char* path; ///< of the file; of the folder for bls
};

/// In the order in which they count: GRUB 2's own, BLS alone, then the older ones. Paths as in the root file system and
/// as in a /boot of its own.
constexpr Candidate candidates[] = {{Format::grub, "/boot/grub/grub.cfg"},
                                    {Format::grub, "/boot/grub2/grub.cfg"},
                                    {Format::grub, "/grub/grub.cfg"},
                                    {Format::grub, "/grub2/grub.cfg"},
                                    {Format::bls, "/loader/entries"},
                                    {Format::bls, "/boot/loader/entries"},
                                    {Format::extlinux, "/boot/extlinux.conf"},
                                    {Format::extlinux, "/boot/extlinux/extlinux.conf"},
                                    {Format::extlinux, "/extlinux.conf"},
                                    {Format::extlinux, "/extlinux/extlinux.conf"},
                                    {Format::extlinux, "/boot/syslinux/syslinux.cfg"},
                                    {Format::extlinux, "/syslinux/syslinux.cfg"},
                                    {Format::legacy, "/boot/grub/menu.lst"},
                                    {Format::legacy, "/boot/grub/grub.conf"},
                                    {Format::legacy, "/grub/menu.lst"},
                                    {Format::legacy, "/grub/grub.conf"},
                                    {Format::grub, "/EFI/debian/grub.cfg"},
                                    {Format::grub, "/EFI/ubuntu/grub.cfg"},
                                    {Format::grub, "/EFI/fedora/grub.cfg"},
                                    {Format::grub, "/EFI/redhat/grub.cfg"},
                                    {Format::grub, "/EFI/BOOT/grub.cfg"}};

class Finder {
public:
    Finder(DiskFiles& disk, const std::optional<std::string>& wanted, const EntryCheck& usable)
        : disk_{disk}, wanted_{wanted}, usable_{usable} {}

    Result<BootChoice> find() {
        // Subvolumes of btrfs in which a root may lie, of Ubuntu, Fedora, Debian and SUSE.
        for (const std::string subvolume : {"", "/@", "/@rootfs", "/root", "snapshot"}) {
            for (const Candidate& candidate : candidates) {
                for (std::size_t volume = 0; volume < disk_.volumes().size(); volume++) {
                    const std::string root = subvolume == "snapshot" ? newest_snapshot(volume) : subvolume;
                    if (root != subvolume && root.empty()) {
                        continue;
                    }
                    if (!subvolume.empty() && !has_folder(volume, root)) {
                        continue;
                    }
                    auto choice = look_at(candidate, {volume, root + candidate.path}, root);
                    if (choice) {
                        return *std::move(choice);
                    }
                }
            }
        }
        if (!failure_.empty()) {
            return Error{failure_};
        }
        return Error{"no boot configuration (of GRUB, the Boot Loader Specification, extlinux) was found on its " +
                     std::to_string(disk_.volumes().size()) +
                     " file systems; name a kernel with --kernel, or install one in it"};
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

    /// SUSE's root is the snapshot last made the default one; usually the newest.
    std::string newest_snapshot(std::size_t volume) {
        if (!has_folder(volume, "/@")) {
            return {};
        }
        unsigned long newest = 0;
        for (const std::string& name : disk_.list({volume, "/@/.snapshots/"})) {
            newest = std::max(newest, std::strtoul(name.c_str(), nullptr, 10));
        }
        return newest == 0 ? std::string{} : "/@/.snapshots/" + std::to_string(newest) + "/snapshot";
    }

    /// Nothing: there is no such configuration, or (see failure_) none that can be used.
    std::optional<BootChoice> look_at(const Candidate& candidate, const FilePlace& config, const std::string& root) {
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
        auto chosen =
            candidate.format == Format::bls ? from_bls(config, usable) : from_file(candidate.format, config, usable);
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
            return choose_simple(parse_extlinux(*text, config), usable);
        case Format::grub:
        case Format::bls:
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

    std::optional<Result<Chosen>> from_bls(const FilePlace& folder, const EntryCheck& usable) {
        std::vector<std::pair<std::string, std::string>> environment;
        for (const char* file : {"/grub2/grubenv", "/boot/grub2/grubenv", "/grub/grubenv"}) {
            if (environment.empty()) {
                environment = parse_grubenv(disk_.read({folder.volume, file}).value_or(""));
            }
        }
        const auto lookup = [&](const std::string& name) {
            const auto found = std::find_if(environment.begin(), environment.end(),
                                            [&](const auto& pair) { return pair.first == name; });
            return found == environment.end() ? std::string{} : found->second;
        };
        SimpleMenu menu{read_bls_entries(disk_, folder, lookup), lookup("saved_entry"), {}};
        if (menu.entries.empty()) {
            return std::nullopt;
        }
        const std::string above = folder.path.substr(0, folder.path.rfind('/'));
        const std::string pattern =
            default_of_loader_conf(disk_.read({folder.volume, above + "/loader.conf"}).value_or(""));
        for (const BootEntry& entry : menu.entries) {
            if (!pattern.empty() && (fnmatch(pattern.c_str(), entry.id.c_str(), 0) == 0 ||
                                     fnmatch(pattern.c_str(), (entry.id + ".conf").c_str(), 0) == 0)) {
                menu.default_entry = entry.id;
                break;
            }
        }
        return choose_simple(menu, usable);
    }

    /// Paths that count from a subvolume's root, where they are not there as they stand.
    void put_under(const std::string& root, BootEntry& entry) {
        if (root.empty() || disk_.exists(entry.kernel)) {
            return;
        }
        const FilePlace moved{entry.kernel.volume, root + entry.kernel.path};
        if (disk_.exists(moved)) {
            entry.kernel = moved;
            for (FilePlace& initrd : entry.initrds) {
                initrd.path.insert(0, root);
            }
        }
    }

    DiskFiles& disk_;
    const std::optional<std::string>& wanted_;
    const EntryCheck& usable_;
    std::optional<BootEntry> next_;
    std::vector<std::string> offers_;
    std::vector<std::vector<std::string>> roots_; ///< what lies at the top of each volume, once asked for
    std::string failure_;
};

} // namespace

Result<BootChoice> choose_boot_entry(DiskFiles& disk, const std::optional<std::string>& wanted,
                                     const EntryCheck& usable) {
    if (disk.volumes().empty()) {
        return Error{"no file system was found on it (known are ext4, xfs, btrfs and what else GRUB reads); check that "
                     "it is a raw disk image"};
    }
    return Finder{disk, wanted, usable}.find();
}

} // namespace parapet::bootdisk
