// SPDX-License-Identifier: Apache-2.0
// The console ring against a guest that behaves and one that does not.
#include "backends/console/console_ring.hpp"

#include <array>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace parapet::console {
namespace {

class ConsoleRingTest : public testing::Test {
protected:
    std::unique_ptr<xencons_interface> page = std::make_unique<xencons_interface>();

    void guest_writes(std::string_view text) {
        for (const char c : text) {
            page->out[page->out_prod++ % sizeof page->out] = c;
        }
    }
    std::string guest_reads() {
        std::string text;
        while (page->in_cons != page->in_prod) {
            text += page->in[page->in_cons++ % sizeof page->in];
        }
        return text;
    }
    static std::string take(ConsoleRing& ring, std::size_t most = 4096) {
        std::string text(most, '\0');
        text.resize(ring.take_output(text).bytes);
        return text;
    }
};

TEST_F(ConsoleRingTest, EmptyRingGivesNothingAndNoNotification) {
    ConsoleRing ring{*page};
    std::array<char, 8> buffer;
    const RingMove move = ring.take_output(buffer);
    EXPECT_EQ(move.bytes, 0U);
    EXPECT_FALSE(move.notify);
    EXPECT_FALSE(move.broken);
}

TEST_F(ConsoleRingTest, OutputInFragmentsKeepsOrder) {
    ConsoleRing ring{*page};
    guest_writes("hello, world");
    EXPECT_EQ(take(ring, 5), "hello");
    EXPECT_EQ(page->out_cons, 5U);
    guest_writes("!");
    EXPECT_EQ(take(ring), ", world!");
    EXPECT_EQ(page->out_cons, page->out_prod);
}

TEST_F(ConsoleRingTest, OutputWrapsAroundRingAndIndex) {
    page->out_cons = page->out_prod = 0xffff'fc00U + 1000;
    ConsoleRing ring{*page};
    std::string all;
    std::string expected;
    for (int round = 0; round < 50; ++round) {
        const std::string text =
            "<" + std::string(static_cast<std::size_t>(round) * 40, static_cast<char>('a' + round % 26)) + ">";
        guest_writes(text);
        expected += text;
        all += take(ring);
    }
    EXPECT_EQ(all, expected);
    EXPECT_LT(page->out_cons, 0xffff'fc00U); // the index did pass 2^32
}

TEST_F(ConsoleRingTest, FullRingIsTakenWhole) {
    ConsoleRing ring{*page};
    guest_writes(std::string(2048, 'x'));
    EXPECT_EQ(take(ring), std::string(2048, 'x'));
}

TEST_F(ConsoleRingTest, ImpossibleOutputIndexIsResynchronised) {
    ConsoleRing ring{*page};
    for (const std::uint32_t hostile : {2049U, 0x8000'0000U, 0xffff'ffffU}) {
        page->out_prod = page->out_cons + hostile;
        std::array<char, 4096> buffer;
        const RingMove move = ring.take_output(buffer);
        EXPECT_TRUE(move.broken);
        EXPECT_EQ(move.bytes, 0U);
        EXPECT_EQ(page->out_cons, page->out_prod);
        guest_writes("again");
        EXPECT_EQ(take(ring), "again");
    }
}

TEST_F(ConsoleRingTest, HostsOwnIndicesAreNotReadBack) {
    ConsoleRing ring{*page};
    guest_writes("abc");
    EXPECT_EQ(take(ring), "abc");
    page->out_cons = 0xdead'0000U; // the guest scribbles over the host's index
    page->in_prod = 0xdead'0000U;
    guest_writes("def");
    EXPECT_EQ(take(ring), "def");
    EXPECT_EQ(page->out_cons, 6U);
    EXPECT_EQ(ring.put_input(std::string_view{"in"}).bytes, 2U);
    EXPECT_EQ(page->in_prod, 2U);
}

TEST_F(ConsoleRingTest, InputStopsWhenFullAndGoesOn) {
    ConsoleRing ring{*page};
    const std::string text(3000, 'y');
    RingMove move = ring.put_input(text);
    EXPECT_EQ(move.bytes, 1024U);
    EXPECT_TRUE(move.notify);
    move = ring.put_input(text);
    EXPECT_EQ(move.bytes, 0U);
    EXPECT_FALSE(move.notify);
    EXPECT_FALSE(move.broken);
    EXPECT_EQ(guest_reads(), std::string(1024, 'y'));
    EXPECT_EQ(ring.put_input(std::string_view{"tail"}).bytes, 4U);
    EXPECT_EQ(guest_reads(), "tail");
}

TEST_F(ConsoleRingTest, InputWrapsAround) {
    page->in_cons = page->in_prod = 0xffff'fff0U;
    ConsoleRing ring{*page};
    EXPECT_EQ(ring.put_input(std::string_view{"0123456789abcdefghijklmnopqrstuvwxyz"}).bytes, 36U);
    EXPECT_EQ(guest_reads(), "0123456789abcdefghijklmnopqrstuvwxyz");
}

TEST_F(ConsoleRingTest, ImpossibleInputIndexPutsNothingAndRecovers) {
    ConsoleRing ring{*page};
    page->in_cons = 5; // ahead of the host's own index
    const auto before = std::string(page->in, sizeof page->in);
    const RingMove move = ring.put_input(std::string_view{"lost"});
    EXPECT_TRUE(move.broken);
    EXPECT_EQ(move.bytes, 0U);
    EXPECT_EQ(std::string(page->in, sizeof page->in), before);
    page->in_cons = 0;
    EXPECT_EQ(ring.put_input(std::string_view{"found"}).bytes, 5U);
    EXPECT_EQ(guest_reads(), "found");
}

} // namespace
} // namespace parapet::console
