// SPDX-License-Identifier: Apache-2.0
// Kernels and initrds in real files; the kernel cache; Debian's kernels where tools/fetch has put them.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/unit/image/image_maker.hpp"
#include "vmm/image/byte_source.hpp"
#include "vmm/image/initrd.hpp"
#include "vmm/image/kernel_cache.hpp"

namespace parapet::image::test {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/parapet-image-test-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        directory_ = name;
    }
    void TearDown() override { fs::remove_all(directory_); }

    [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
    std::string write(const std::string& name, std::span<const std::byte> bytes) const {
        std::ofstream{path(name), std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                          static_cast<std::streamsize>(bytes.size()));
        return path(name);
    }
    /// A file old enough to be cached; ctime cannot be set, so it is waited for.
    std::string write_settled(const std::string& name, std::span<const std::byte> bytes) const {
        const std::string file = write(name, bytes);
        struct stat info {};
        while (stat(file.c_str(), &info) == 0 && cache().key_of(file, info).empty())
            std::this_thread::sleep_for(std::chrono::milliseconds{100});
        return file;
    }
    [[nodiscard]] KernelCache cache(uint64_t max = KernelCache::default_max_bytes) const {
        return KernelCache{path("cache/kernels"), max};
    }
    [[nodiscard]] std::vector<fs::path> entries() const {
        std::vector<fs::path> found;
        if (fs::exists(path("cache/kernels")))
            for (const auto& entry : fs::directory_iterator{path("cache/kernels")})
                found.push_back(entry.path());
        return found;
    }

private:
    std::string directory_;
};

std::string kernel_refusal(const std::string& file) {
    const auto image = load_kernel(file);
    return image ? "" : image.error().message;
}

TEST_F(Files, RefusesWhatCannotBeRead) {
    EXPECT_EQ(kernel_refusal(path("none")),
              "cannot open kernel '" + path("none") + "': No such file or directory; check the path");
    EXPECT_NE(kernel_refusal(path("")).find("is a directory"), std::string::npos);
    EXPECT_NE(kernel_refusal(write("empty", {})).find("is empty"), std::string::npos);
    EXPECT_NE(kernel_refusal("/dev/zero").find("is a device"), std::string::npos);
    ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
    EXPECT_NE(kernel_refusal(path("pipe")).find("is a pipe"), std::string::npos); // and does not hang
    EXPECT_NE(kernel_refusal(write("text", bytes_of("hello"))).find("'" + path("text") + "' is not a kernel"),
              std::string::npos);
}

TEST_F(Files, KernelFromAFile) {
    const Bytes elf = linux_elf(2'000'000).build();
    const auto plain = load_kernel(write("vmlinux", elf));
    const auto packed = load_kernel(write("vmlinuz", bzimage_of(Compression::zstd, elf)));
    ASSERT_TRUE(plain) << plain.error().message;
    ASSERT_TRUE(packed) << packed.error().message;
    MapSink one;
    MapSink two;
    ASSERT_TRUE(plain->copy_to(one));
    ASSERT_TRUE(packed->copy_to(two));
    for (const auto& [pfn, page] : two.pages)
        EXPECT_TRUE(one.pages[pfn] == page) << pfn;
}

TEST_F(Files, KernelThatShrinksMeanwhile) {
    const std::string file = write("vmlinux", linux_elf(2'000'000).build());
    const auto image = load_kernel(file);
    ASSERT_TRUE(image);
    fs::resize_file(file, 100'000);
    MapSink sink;
    const auto copied = image->copy_to(sink);
    ASSERT_FALSE(copied);
    EXPECT_NE(copied.error().message.find("to its end"), std::string::npos);
}

TEST_F(Files, InitrdsFollowEachOther) {
    const Bytes first(4097, std::byte{1});
    const Bytes second(2'000'003, std::byte{2});
    const std::string names[] = {write("a", first), write("b", second), write("c", bytes_of("x"))};
    const auto initrd = Initrd::open(names);
    ASSERT_TRUE(initrd) << initrd.error().message;
    EXPECT_EQ(initrd->size(), 4100U + 2'000'004U + 1U);
    EXPECT_EQ(initrd->pages(), (initrd->size() + 4095) / 4096);
    MapSink sink;
    ASSERT_TRUE(initrd->copy_to(sink, 77));
    Bytes expected = first;
    expected.resize(4100);
    append(expected, second);
    expected.resize(4100 + 2'000'004);
    append(expected, bytes_of("x"));
    EXPECT_TRUE(sink.read(77 * 4096, initrd->size()) == expected);
    EXPECT_EQ(sink.pages.size(), initrd->pages());

    MapSink small{100};
    const auto copied = initrd->copy_to(small, 77);
    ASSERT_FALSE(copied);
    EXPECT_NE(copied.error().message.find("--memory"), std::string::npos);
}

TEST_F(Files, NoInitrd) {
    const auto none = Initrd::open({});
    ASSERT_TRUE(none);
    EXPECT_EQ(none->size(), 0U);
    const std::string names[] = {path("gone")};
    const auto missing = Initrd::open(names);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().message,
              "cannot open initrd '" + path("gone") + "': No such file or directory; check the path");
}

TEST_F(Files, CacheGivesTheSameKernel) {
    const Bytes elf = linux_elf().build();
    const std::string file = write_settled("vmlinuz", bzimage_of(Compression::xz, elf));
    const KernelCache kernels = cache();
    const LoadOptions options{.cache = &kernels};
    MapSink sinks[2];
    for (const bool again : {false, true}) {
        const auto image = load_kernel(file, options);
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ(image->from_cache, again);
        EXPECT_EQ(image->kernel_version, "6.1.0-test");
        EXPECT_EQ(image->compression, Compression::xz);
        ASSERT_TRUE(image->copy_to(sinks[again ? 1 : 0]));
    }
    EXPECT_TRUE(sinks[0].pages == sinks[1].pages);
    EXPECT_EQ(entries().size(), 1U);
    EXPECT_EQ(fs::status(entries()[0]).permissions(), fs::perms::owner_read | fs::perms::owner_write);

    // Another file under the same name is another kernel.
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
    write_settled("vmlinuz", bzimage_of(Compression::xz, linux_elf(1000).build()));
    const auto other = load_kernel(file, options);
    ASSERT_TRUE(other);
    EXPECT_FALSE(other->from_cache);
}

TEST_F(Files, CacheRejectsDamage) {
    const Bytes elf = linux_elf(50'000).build();
    const KernelCache kernels = cache();
    const auto damage = [&](const std::function<void(const fs::path&)>& change) {
        EXPECT_TRUE(kernels.store("key", elf));
        EXPECT_NE(kernels.find("key"), nullptr);
        change(entries().at(0));
        EXPECT_EQ(kernels.find("key"), nullptr);
        EXPECT_TRUE(entries().empty()) << "a bad entry stays";
    };
    for (const int at : {0, 9, 17, 25, 33, 40, 48, 4000, 4096, 4096 + 49'999}) {
        damage([&](const fs::path& entry) {
            std::fstream file{entry, std::ios::in | std::ios::out | std::ios::binary};
            file.seekg(at);
            const char old = static_cast<char>(file.get());
            file.seekp(at);
            file.put(static_cast<char>(old ^ 0x10));
        });
    }
    for (const uintmax_t size : {0U, 100U, 4096U, 10'000U})
        damage([&](const fs::path& entry) { fs::resize_file(entry, size); });
    damage([&](const fs::path& entry) { fs::resize_file(entry, fs::file_size(entry) + 4096); });
}

TEST_F(Files, CacheKeepsZerosApart) {
    const KernelCache kernels = cache();
    // Data at odd places, gaps short and long, zeros at both ends; and more gaps than an entry can name.
    Bytes sparse(10U << 20);
    for (const size_t at : {200'000U, 204'799U, 300'000U, 5'000'000U, 9'000'000U})
        sparse[at] = std::byte{7};
    Bytes striped((80U << 20) + 123);
    for (size_t at = 1; at < striped.size(); at += 160'000)
        striped[at] = std::byte{9};
    Bytes ends(1'000'001);
    ends.back() = std::byte{1};
    for (const Bytes* bytes : {&sparse, &striped, &ends}) {
        ASSERT_TRUE(kernels.store("key", *bytes));
        const auto found = kernels.find("key");
        ASSERT_NE(found, nullptr);
        EXPECT_TRUE(std::ranges::equal(found->bytes(), *bytes));
        EXPECT_LT(fs::file_size(entries().at(0)), bytes->size());
    }
}

TEST_F(Files, CacheKeepsItsBound) {
    const Bytes elf(100'000, std::byte{5});
    const KernelCache kernels = cache(350'000);
    for (const char* key : {"a", "b", "c"}) {
        ASSERT_TRUE(kernels.store(key, elf));
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
    ASSERT_TRUE(kernels.store("d", elf));
    EXPECT_EQ(entries().size(), 3U);
    EXPECT_EQ(kernels.find("a"), nullptr) << "the oldest goes first";
    EXPECT_NE(kernels.find("b"), nullptr);
    EXPECT_FALSE(kernels.store("e", Bytes(400'000)));
}

TEST_F(Files, CacheIsOffWhereItCannotBe) {
    const Bytes elf = linux_elf(50'000).build();
    const std::string file = write_settled("vmlinuz", bzimage_of(Compression::gzip, elf));
    const auto loads_without = [&](const KernelCache& kernels) {
        const LoadOptions options{.cache = &kernels};
        for (int i = 0; i < 2; ++i) {
            const auto image = load_kernel(file, options);
            ASSERT_TRUE(image) << image.error().message;
            EXPECT_FALSE(image->from_cache);
        }
    };
    loads_without(KernelCache{"/proc/parapet/kernels"});
    loads_without(KernelCache{file + "/kernels"});
    // Anyone could plant a kernel here.
    fs::create_directories(path("open"));
    fs::permissions(path("open"), fs::perms::all);
    loads_without(KernelCache{path("open")});
    fs::create_directories(path("mine"));
    fs::create_symlink(path("mine"), path("link"));
    loads_without(KernelCache{path("link")});
}

TEST_F(Files, FreshFilesAreNotCached) {
    const std::string file = write("vmlinuz", bzimage_of(Compression::gzip, linux_elf(5'000).build()));
    const KernelCache kernels = cache();
    const LoadOptions options{.cache = &kernels};
    ASSERT_TRUE(load_kernel(file, options));
    EXPECT_TRUE(entries().empty());
}

TEST_F(Files, CacheWithConcurrentWriters) {
    const Bytes elf = linux_elf(400'000).build();
    const KernelCache kernels = cache();
    std::atomic<int> bad = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 50; ++i) {
                kernels.store("key", elf);
                const auto found = kernels.find("key");
                if (found == nullptr || !std::ranges::equal(found->bytes(), elf))
                    ++bad;
            }
        });
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(entries().size(), 1U) << "temporary files stay";
}

TEST_F(Files, CacheDirectoryFromTheEnvironment) {
    setenv("XDG_CACHE_HOME", "/some/cache", 1);
    EXPECT_EQ(KernelCache::from_environment()->directory(), "/some/cache/parapet/kernels");
    setenv("XDG_CACHE_HOME", "relative", 1);
    const char* user = std::getenv("HOME");
    const std::string home = user == nullptr ? "" : user;
    setenv("HOME", "/home/me", 1);
    EXPECT_EQ(KernelCache::from_environment()->directory(), "/home/me/.cache/parapet/kernels");
    setenv("PARAPET_KERNEL_CACHE", "off", 1);
    EXPECT_FALSE(KernelCache::from_environment());
    unsetenv("PARAPET_KERNEL_CACHE");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", home.c_str(), 1);
}

/// Debian's kernels under ~/.cache/parapet, as tools/fetch leaves them.
TEST(Debian, KernelsLoad) {
    const char* home = std::getenv("PARAPET_TEST_KERNELS");
    const char* user = std::getenv("HOME");
    const fs::path root = home != nullptr ? fs::path{home} : fs::path{user == nullptr ? "/" : user} / ".cache/parapet";
    unsigned found = 0;
    std::error_code failure;
    for (const char* flavour : {"generic/boot", "cloud/boot"}) {
        for (const auto& entry : fs::directory_iterator{root / flavour, failure}) {
            if (!entry.path().filename().string().starts_with("vmlinuz"))
                continue;
            ++found;
            const auto image = load_kernel(entry.path().string());
            ASSERT_TRUE(image) << image.error().message;
            EXPECT_TRUE(image->is_bzimage);
            EXPECT_EQ("vmlinuz-" + image->kernel_version, entry.path().filename().string());
            EXPECT_EQ(image->notes.guest_os, "linux");
            EXPECT_EQ(image->virt_base, linux_base);
            EXPECT_EQ(image->virt_start, linux_base + 0x1000000);
            EXPECT_EQ(image->init_p2m, 0x8000000000U);
            EXPECT_TRUE(image->notes.mod_start_pfn);
            EXPECT_EQ(image->notes.pae_mode, PaeMode::yes);
            EXPECT_TRUE(image->notes.features.requires_feature(0));
        }
    }
    if (found == 0)
        GTEST_SKIP() << "no kernels in " << root << "; tools/fetch gets them";
}

} // namespace
} // namespace parapet::image::test
