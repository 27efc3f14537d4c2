// SPDX-License-Identifier: Apache-2.0
// A domain as the builder leaves it, and a look at it through its own page tables.
#pragma once

#include "pv-abi/start_info.hpp"
#include "tests/unit/image/image_maker.hpp"
#include "vmm/domain_builder.hpp"
#include "vmm/nucleus_loader.hpp"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <stdlib.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace parapet::vmm::test {

/// A file that lives as long as the object.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& content) {
        const int fd = ::mkstemp(path_.data());
        ::close(fd);
        std::ofstream{path_} << content;
    }
    ~TemporaryFile() { ::unlink(path_.c_str()); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_ = "/tmp/parapet-vmm-test.XXXXXX";
};

/// `ram` is made for the pages asked for, with the nucleus in it.
struct Built {
    std::unique_ptr<GuestRam> ram;
    NucleusPlace place;
    image::KernelImage kernel;
    Result<BuiltDomain> result = Error{"not built"};

    [[nodiscard]] const doorbell::DomainBoot& boot() const { return place.boot->domain; }

    /// The L1 entry for a guest address; nothing where some level is not present or leads out of RAM.
    [[nodiscard]] std::optional<std::uint64_t> entry(std::uint64_t va) const {
        std::uint64_t value = boot().root_mfn * page_size;
        for (int level = 4; level >= 1; level--) {
            const auto* table = ram->frame_as<const std::uint64_t>((value & 0x000ffffffffff000) / page_size);
            if (table == nullptr) {
                return {};
            }
            value = table[va >> (12 + 9 * (level - 1)) & 511];
            if ((value & pte::present) == 0) {
                return {};
            }
        }
        return value;
    }
    [[nodiscard]] std::optional<std::uint64_t> mfn_at(std::uint64_t va) const {
        const auto found = entry(va);
        return found ? std::optional{(*found & 0x000ffffffffff000) / page_size} : std::nullopt;
    }
    /// The guest's bytes at a mapped address, up to the end of its page.
    [[nodiscard]] const std::byte* at(std::uint64_t va) const {
        const auto mfn = mfn_at(va);
        const std::byte* frame = mfn ? ram->frame(*mfn) : nullptr;
        return frame == nullptr ? nullptr : frame + va % page_size;
    }
    [[nodiscard]] const abi::start_info64& start_info() const {
        return *reinterpret_cast<const abi::start_info64*>(at(boot().rsi));
    }
    /// The P2M as the guest reads it.
    [[nodiscard]] std::vector<std::uint64_t> p2m() const {
        std::vector<std::uint64_t> list;
        for (std::uint64_t pfn = 0; pfn < boot().nr_pages; pfn++) {
            const std::byte* where = at(start_info().mfn_list + pfn * sizeof(std::uint64_t));
            if (where == nullptr) {
                return {};
            }
            std::uint64_t mfn = 0;
            std::memcpy(&mfn, where, sizeof(mfn));
            list.push_back(mfn);
        }
        return list;
    }
};

/// `elf` must outlive the result.
inline Built build(std::uint64_t pages, const image::test::Bytes& elf, const std::string& initrd_path = {},
                   const std::string& cmdline = "console=hvc0", std::uint64_t shuffle = 0) {
    Built built;
    MachineLayout layout;
    layout.frames = nucleus_frames(pages) + pages;
    auto ram = GuestRam::create(layout);
    auto kernel = image::test::load_bytes(elf);
    std::vector<std::string> paths;
    if (!initrd_path.empty()) {
        paths.push_back(initrd_path);
    }
    auto initrd = image::Initrd::open(paths);
    if (!ram || !kernel || !initrd) {
        built.result = !ram ? ram.error() : !kernel ? kernel.error() : initrd.error();
        return built;
    }
    built.ram = std::make_unique<GuestRam>(*std::move(ram));
    built.place = load_nucleus(*built.ram, {});
    built.kernel = *std::move(kernel);
    DomainRequest request;
    request.pages = pages;
    request.cmdline = cmdline;
    request.shuffle = shuffle;
    built.result = build_domain(*built.ram, built.place, built.kernel, *initrd, request);
    return built;
}

} // namespace parapet::vmm::test
