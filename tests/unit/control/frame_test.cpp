// SPDX-License-Identifier: Apache-2.0
// Frames from peers that keep to the protocol, and from those that do not.
#include "vmm/control/frame.hpp"
#include "vmm/control/message.hpp"
#include "vmm/control/socket_io.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <random>
#include <sys/socket.h>

namespace parapet::vmm::control {
namespace {

std::vector<UniqueFd> some_descriptors(unsigned count) {
    std::vector<UniqueFd> descriptors;
    for (unsigned i = 0; i < count; i++) {
        descriptors.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    return descriptors;
}

TEST(Frames, ComeBackWhateverThePieces) {
    const std::string stream = encode_frame(FrameKind::message, "{}") + encode_frame(FrameKind::console, "") +
                               encode_frame(FrameKind::console, std::string(most_payload, 'x'));
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, stream.size()}) {
        FrameReader reader;
        std::vector<Frame> frames;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            ASSERT_TRUE(reader.feed(stream.substr(at, piece), {}));
            while (auto frame = reader.next()) {
                frames.push_back(*std::move(frame));
            }
        }
        ASSERT_EQ(frames.size(), 3U);
        EXPECT_EQ(frames[0].payload, "{}");
        EXPECT_EQ(frames[1].kind, FrameKind::console);
        EXPECT_EQ(frames[2].payload.size(), most_payload);
        EXPECT_FALSE(reader.in_the_middle());
    }
}

TEST(Frames, TooLargeIsRefusedBeforeItsPayloadComes) {
    std::string header = encode_frame(FrameKind::message, "");
    header[2] = 1; // 64 KiB, the most
    EXPECT_TRUE(FrameReader{}.feed(header, {}));
    header[0] = 1; // and one more
    EXPECT_FALSE(FrameReader{}.feed(header, {}));
    header[3] = '\xff';
    EXPECT_FALSE(FrameReader{}.feed(header, {}));
}

TEST(Frames, OtherProtocolsAreRefused) {
    EXPECT_FALSE(FrameReader{}.feed("GET / HTTP/1.1\r\n", {}));
    EXPECT_FALSE(FrameReader{}.feed(std::string_view{"\0\0\0\0X\0\0\0", 8}, {}));
    EXPECT_FALSE(FrameReader{}.feed(std::string_view{"\0\0\0\0J\0\0\1", 8}, {}));
}

TEST(Frames, DescriptorsBelongToTheFrameThatAnnouncesThem) {
    FrameReader reader;
    const std::string stream = encode_frame(FrameKind::message, "a") + encode_frame(FrameKind::message, "b", 2);
    ASSERT_TRUE(reader.feed(stream, some_descriptors(2)));
    EXPECT_EQ(reader.next()->descriptors.size(), 0U);
    EXPECT_EQ(reader.next()->descriptors.size(), 2U);
}

TEST(Frames, UnannouncedMissingAndTooManyDescriptors) {
    EXPECT_FALSE(FrameReader{}.feed(encode_frame(FrameKind::message, "a"), some_descriptors(1)));
    EXPECT_FALSE(FrameReader{}.feed(encode_frame(FrameKind::message, "a", 1), {}));
    EXPECT_FALSE(FrameReader{}.feed("", some_descriptors(1)));
    FrameReader reader; // hoards, in a frame that it never completes
    const std::string start = encode_frame(FrameKind::message, "abc", most_descriptors).substr(0, 9);
    ASSERT_TRUE(reader.feed(start, some_descriptors(most_descriptors)));
    EXPECT_FALSE(reader.feed("", some_descriptors(1)));
}

TEST(Frames, RandomBytesNeitherCrashNorPileUp) {
    std::mt19937 random{7};
    for (unsigned round = 0; round < 3000; round++) {
        FrameReader reader;
        std::string bytes;
        for (unsigned i = 0; i < 12; i++) {
            std::string frame = encode_frame(i % 2 == 0 ? FrameKind::message : FrameKind::console,
                                             std::string(random() % 40, 'y'), random() % 8 == 0 ? 1 : 0);
            if (random() % 3 == 0) {
                frame[random() % frame.size()] = static_cast<char>(random());
            }
            bytes += frame;
        }
        for (std::size_t at = 0; at < bytes.size();) {
            const std::size_t count = 1 + random() % 60;
            if (!reader.feed(bytes.substr(at, count), some_descriptors(random() % 16 == 0 ? 1 : 0))) {
                break;
            }
            at += count;
            while (auto frame = reader.next()) {
                EXPECT_LE(frame->payload.size(), most_payload);
                EXPECT_LE(frame->descriptors.size(), most_descriptors);
            }
        }
    }
}

TEST(Messages, OnlyObjectsOfOurVersion) {
    EXPECT_TRUE(parse_message(R"({"version": 1, "request": "info"})"));
    EXPECT_FALSE(parse_message(R"({"request": "info"})"));
    EXPECT_FALSE(parse_message(R"({"version": "1"})"));
    EXPECT_FALSE(parse_message(R"([1])"));
    EXPECT_FALSE(parse_message(R"({"version": 1)"));
    EXPECT_FALSE(parse_message(""));
    EXPECT_FALSE(parse_message(std::string(60000, '[')));
    const auto other = parse_message(R"({"version": 2})");
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().message.find("2 and 1"), std::string::npos) << other.error().message;
}

TEST(Messages, MembersOfAnotherTypeAreNone) {
    const auto message = parse_message(R"({"version": 1, "a": "x", "b": 5, "c": true, "d": -1, "e": 1.5, "f": 1e30})");
    ASSERT_TRUE(message);
    EXPECT_EQ(text_member(*message, "a"), "x");
    EXPECT_EQ(text_member(*message, "b"), std::nullopt);
    EXPECT_EQ(text_member(*message, "none"), std::nullopt);
    EXPECT_EQ(number_member(*message, "b"), 5U);
    for (const char* name : {"a", "c", "d", "e", "f", "none"}) {
        EXPECT_EQ(number_member(*message, name), std::nullopt) << name;
    }
    EXPECT_TRUE(flag_member(*message, "c"));
    EXPECT_FALSE(flag_member(*message, "b"));
    EXPECT_TRUE(flag_member(*message, "none", true));
}

TEST(SocketIo, CarriesDescriptorsAndNoMoreThanWanted) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd a{ends[0]};
    const UniqueFd b{ends[1]};
    std::array<char, 64> bytes;
    EXPECT_EQ(receive_some(b.get(), bytes).error, EAGAIN);
    const auto sent = some_descriptors(3);
    const std::array<int, 3> numbers{sent[0].get(), sent[1].get(), sent[2].get()};
    EXPECT_EQ(send_some(a.get(), "abc", numbers).bytes, 3U);
    Received got = receive_some(b.get(), bytes);
    EXPECT_EQ(got.bytes, 3);
    ASSERT_EQ(got.descriptors.size(), 3U);
    EXPECT_EQ(::fcntl(got.descriptors[0].get(), F_GETFD), FD_CLOEXEC);
    const std::vector<int> many(most_descriptors, numbers[0]);
    EXPECT_EQ(send_some(a.get(), "x", many).bytes, 1U);
    EXPECT_EQ(receive_some(b.get(), bytes).descriptors.size(), most_descriptors);
}

} // namespace
} // namespace parapet::vmm::control
