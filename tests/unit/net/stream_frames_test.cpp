// SPDX-License-Identifier: Apache-2.0
// The stream that passt speaks: any way of cutting it up, and lengths that lie.
#include "backends/net/stream_frames.hpp"
#include "tests/unit/net/test_frames.hpp"

#include <gtest/gtest.h>

namespace parapet::net::test {
namespace {

void append(Bytes& stream, const Bytes& frame) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        stream.push_back(std::byte(frame.size() >> shift));
    }
    stream.insert(stream.end(), frame.begin(), frame.end());
}

TEST(StreamFrames, FindsFramesHoweverTheyCome) {
    std::vector<Bytes> frames;
    Bytes stream;
    for (unsigned i = 0; i < 40; ++i) {
        frames.push_back(plain_frame(i % 7 == 3 ? most_frame_bytes - i : 14 + i * 40, i));
        append(stream, frames.back());
    }
    for (const std::size_t piece : {1, 3, 5, 1000, 65536, 1 << 20}) {
        StreamFrames in;
        std::size_t at = 0, found = 0;
        while (found < frames.size()) {
            const auto room = in.room();
            ASSERT_FALSE(room.empty());
            const std::size_t part = std::min({piece, room.size(), stream.size() - at});
            std::memcpy(room.data(), &stream[at], part);
            at += part;
            in.received(part);
            while (in.next() == StreamFrames::Next::frame) {
                const auto frame = in.take();
                ASSERT_EQ(Bytes(frame.begin(), frame.end()), frames[found]) << piece;
                ++found;
            }
            ASSERT_NE(in.next(), StreamFrames::Next::broken);
        }
        EXPECT_EQ(at, stream.size());
    }
}

TEST(StreamFrames, RefusesImpossibleLengths) {
    for (const std::uint32_t length : {0U, 13U, static_cast<std::uint32_t>(most_frame_bytes) + 1, 0x7fffffffU, ~0U}) {
        StreamFrames in;
        const auto room = in.room();
        for (int i = 0; i < 4; ++i) {
            room[static_cast<std::size_t>(i)] = std::byte(length >> (24 - 8 * i));
        }
        in.received(3);
        EXPECT_EQ(in.next(), StreamFrames::Next::incomplete);
        in.received(1);
        EXPECT_EQ(in.next(), StreamFrames::Next::broken) << length;
    }
}

} // namespace
} // namespace parapet::net::test
