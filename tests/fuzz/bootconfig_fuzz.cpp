// SPDX-License-Identifier: Apache-2.0
// Boot configurations of every format, from a disk that holds nothing else. The first byte chooses where it lies.
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/boot_menu.hpp"
#include "vmm/bootdisk/grub_image.hpp"
#include "vmm/bootdisk/report.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace parapet::bootdisk;
    if (size == 0) {
        return 0;
    }
    const std::string text{reinterpret_cast<const char*>(data) + 1, size - 1};
    static constexpr const char* places[] = {"/boot/grub/grub.cfg",  "/loader/entries/a-1.conf",
                                             "/boot/grub/menu.lst",  "/boot/extlinux/extlinux.conf",
                                             "/EFI/fedora/grub.cfg", "/@/.snapshots/1/snapshot/boot/grub2/grub.cfg"};
    test::FakeDisk disk;
    disk.add({"loop0,gpt1", "one", "1111"}, {{"/x", "x"}});
    disk.add({"loop0,gpt2", "two", "2222"}, {{places[data[0] % std::size(places)], text},
                                             {"/boot/grub/grubenv", text},
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
    (void)unpack_report(text);
    return 0;
}
