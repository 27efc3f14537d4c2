// SPDX-License-Identifier: Apache-2.0
// Boot configurations of every format, from a disk that holds nothing else; super blocks and trees of file systems. The
// first byte chooses where it lies.
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/boot_menu.hpp"
#include "vmm/bootdisk/btrfs_subvolumes.hpp"
#include "vmm/bootdisk/grub_image.hpp"
#include "vmm/bootdisk/report.hpp"
#include "vmm/bootdisk/unread_device.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace {

/// A device whose bytes are the input, again and again; a block of btrfs lies where it says that it lies.
class SectorDisk final : public parapet::bootdisk::DiskFiles {
public:
    explicit SectorDisk(const std::string& bytes) : bytes_{bytes} {}

    [[nodiscard]] const std::vector<parapet::bootdisk::Volume>& volumes() const override { return none_; }
    [[nodiscard]] std::optional<std::string> read(const parapet::bootdisk::FilePlace&) override { return {}; }
    [[nodiscard]] std::vector<std::string> list(const parapet::bootdisk::FilePlace&) override { return {}; }
    [[nodiscard]] bool exists(const parapet::bootdisk::FilePlace&) override { return false; }
    [[nodiscard]] parapet::Result<std::uint64_t> copy(const parapet::bootdisk::FilePlace&, int,
                                                      std::uint64_t) override {
        return parapet::Error{"fuzz"};
    }
    [[nodiscard]] std::optional<std::string> read_sectors(const std::string&, std::uint64_t first,
                                                          std::uint32_t count) override {
        std::string block;
        for (std::size_t at = first * 512 % bytes_.size(); block.size() < std::size_t{count} * 512; at = 0) {
            block += bytes_.substr(at, std::size_t{count} * 512 - block.size());
        }
        constexpr std::uint64_t super = 128;
        if (first == super && count == 8) {
            block.replace(0x40, 8, "_BHRfS_M");
            block.replace(0x32b, 17, std::string("\0\1\0\0\0\0\0\0\xe4\0\0\0\0\0\0\0\0", 17));
        } else if (block.size() >= 4096) {
            const std::uint64_t logical = first * 512; // of the identity, which the input may have as its chunk
            block.replace(0x30, 8, reinterpret_cast<const char*>(&logical), 8);
        }
        return block;
    }

private:
    const std::string& bytes_;
    std::vector<parapet::bootdisk::Volume> none_;
};

void look_at_sectors(const std::string& bytes) {
    if (!bytes.empty()) {
        SectorDisk disk{bytes};
        (void)parapet::bootdisk::describe_unread(disk, "loop0");
        (void)parapet::bootdisk::read_subvolumes(disk, "loop0");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace parapet::bootdisk;
    if (size == 0) {
        return 0;
    }
    const std::string text{reinterpret_cast<const char*>(data) + 1, size - 1};
    static constexpr const char* places[] = {
        "/boot/grub/grub.cfg",  "/loader/entries/a-1.conf",     "/boot/grub/menu.lst", "/boot/extlinux/extlinux.conf",
        "/EFI/fedora/grub.cfg", "/@rootfs/boot/grub2/grub.cfg", "/EFI/Linux/a+1.efi",  "/isolinux/isolinux.cfg"};
    test::FakeDisk disk;
    disk.add({"loop0,gpt1", "one", "1111"}, {{"/x", "x"}});
    disk.add({"loop0,gpt2", "two", "2222"}, {{places[data[0] % std::size(places)], text},
                                             {"/boot/grub/grubenv", text},
                                             {"/boot/extlinux/more.cfg", text},
                                             {"/grub2/grubenv", text},
                                             {"/loader/loader.conf", text},
                                             {"/custom", text}});
    for (const auto& wanted : {std::optional<std::string>{}, std::optional<std::string>{"1>0"}}) {
        if (const auto choice = choose_boot_entry(disk, wanted)) {
            // Whatever is chosen lies on the disk.
            if (choice->entry.kernel.volume >= 2 || !choice->entry.kernel.path.starts_with('/')) {
                __builtin_trap();
            }
        }
    }
    for (const Volume& volume : parse_volumes(text)) {
        if (volume.name.find("host") == 0 || volume.name.find_first_of("() '") != std::string::npos) {
            __builtin_trap();
        }
    }
    (void)parse_unread(text);
    (void)unpack_report(text);
    look_at_sectors(text);
    return 0;
}
