// SPDX-License-Identifier: Apache-2.0
// A guest that owns its nucleus: a thread that writes whatever it likes, at any time, to all memory that it shares with
// the vmm, while the vmm's code runs. What the code under test may do then: anything but touch other memory, overflow,
// or never come back.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace parapet::test {

class Scribbler {
public:
    using Region = std::span<std::byte>;

    /// `regions`: aligned to 8 bytes; the same number of writes goes to each. `favourites`: numbers that mean something
    /// there (frames, references, lengths).
    Scribbler(std::vector<Region> regions, std::vector<std::uint64_t> favourites, std::uint64_t seed)
        : regions_{std::move(regions)}, favourites_{std::move(favourites)}, random_{seed}, thread_{[this] { run(); }} {}
    ~Scribbler() { stop(); }
    Scribbler(const Scribbler&) = delete;
    Scribbler& operator=(const Scribbler&) = delete;

    void stop() {
        over_ = true;
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    [[nodiscard]] std::uint64_t writes() const { return writes_; }

private:
    std::uint64_t value() {
        const std::uint64_t any = random_();
        switch (any % 7) {
        case 0:
            return 0;
        case 1:
            return ~std::uint64_t{0} - any / 7 % 3;
        case 2:
            return any / 7 % 64;
        case 3:
            return (std::uint64_t{1} << any / 7 % 64) - any / 512 % 2;
        case 4:
        case 5:
            return favourites_.empty() ? any : favourites_[any / 7 % favourites_.size()];
        default:
            return any;
        }
    }
    template <typename Word>
    static void store(Region region, std::uint64_t at, std::uint64_t value) {
        auto* const word = reinterpret_cast<Word*>(region.data()) + at % (region.size() / sizeof(Word));
        std::atomic_ref{*word}.store(static_cast<Word>(value), std::memory_order_relaxed);
    }
    void run() {
        while (!over_) {
            const Region region = regions_[random_() % regions_.size()];
            // Half of them near the start, where the words are that rule the rest.
            const std::uint64_t any = random_(), at = any % 2 == 0 ? any / 2 : any / 2 % 32;
            switch (random_() % 3) {
            case 0:
                store<std::uint16_t>(region, at, value());
                break;
            case 1:
                store<std::uint32_t>(region, at, value());
                break;
            default:
                store<std::uint64_t>(region, at, value());
            }
            writes_++;
        }
    }

    const std::vector<Region> regions_;
    const std::vector<std::uint64_t> favourites_;
    std::mt19937_64 random_;
    std::atomic<bool> over_{false};
    std::atomic<std::uint64_t> writes_{0};
    std::thread thread_;
};

template <typename T>
[[nodiscard]] Scribbler::Region bytes_of(T* first, std::size_t count = 1) {
    return {reinterpret_cast<std::byte*>(first), count * sizeof(T)};
}

} // namespace parapet::test
