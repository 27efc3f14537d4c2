// SPDX-License-Identifier: Apache-2.0
// Every request of the wire protocol: its reply, and its malformed forms.
#include "client.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore::test {
namespace {

using namespace abi;

TEST(Protocol, ReadAndWrite) {
    World w;
    EXPECT_EQ(w.client.write("own/a", "value"), "OK");
    EXPECT_EQ(w.client.read("own/a"), "value");
    EXPECT_EQ(w.client.read("/local/domain/1/own/a"), "value");
    EXPECT_EQ(w.store.read("/local/domain/1/own/a").value(), "value");
    EXPECT_EQ(w.client.write("own/a", ""), "OK");
    EXPECT_EQ(w.client.read("own/a"), "");
}

TEST(Protocol, ValuesAreBinary) {
    World w;
    std::string all;
    for (int i = 0; i < 256; ++i)
        all.push_back(static_cast<char>(i));
    EXPECT_EQ(w.client.write("own/a", all), "OK");
    EXPECT_EQ(w.client.read("own/a"), all);
}

TEST(Protocol, WriteMakesParents) {
    World w;
    EXPECT_EQ(w.client.write("own/a/b/c", "x"), "OK");
    EXPECT_EQ(w.client.read("own/a/b"), "");
    EXPECT_EQ(w.client.directory("own"), nul({"a"}));
    EXPECT_EQ(w.client.directory("own/a"), nul({"b"}));
}

TEST(Protocol, WriteNeedsAPath) {
    World w;
    EXPECT_EQ(w.client.call(XS_WRITE, ""), "!EINVAL");
    EXPECT_EQ(w.client.call(XS_WRITE, "own/a"), "!EINVAL") << "no NUL";
    EXPECT_EQ(w.client.write("", "x"), "!EINVAL");
    EXPECT_EQ(w.client.write("own//a", "x"), "!EINVAL");
    EXPECT_EQ(w.client.write("@releaseDomain", "x"), "!EINVAL");
}

TEST(Protocol, ReadsTakeExactlyOneString) {
    World w;
    for (const auto op : {XS_READ, XS_DIRECTORY, XS_GET_PERMS, XS_MKDIR, XS_RM}) {
        EXPECT_EQ(w.client.call(op, ""), "!EINVAL");
        EXPECT_EQ(w.client.call(op, "own"), "!EINVAL") << "no NUL";
        EXPECT_EQ(w.client.call(op, nul({"own", ""})), "!EINVAL") << "two strings";
        EXPECT_EQ(w.client.call(op, nul({"own"}) + "x"), "!EINVAL") << "trailing bytes";
        EXPECT_EQ(w.client.call(op, nul({""})), "!EINVAL");
    }
}

TEST(Protocol, MissingNodes) {
    World w;
    EXPECT_EQ(w.client.read("own/none"), "!ENOENT");
    EXPECT_EQ(w.client.directory("own/none"), "!ENOENT");
    EXPECT_EQ(w.client.perms("own/none/deep"), "!ENOENT");
}

TEST(Protocol, Mkdir) {
    World w;
    EXPECT_EQ(w.client.mkdir("own/a/b"), "OK");
    EXPECT_EQ(w.client.write("own/a", "kept"), "OK");
    EXPECT_EQ(w.client.mkdir("own/a"), "OK");
    EXPECT_EQ(w.client.read("own/a"), "kept");
    EXPECT_EQ(w.client.directory("own/a"), nul({"b"}));
}

TEST(Protocol, RmTakesTheSubtree) {
    World w;
    w.client.write("own/a/b/c", "x");
    EXPECT_EQ(w.client.rm("own/a"), "OK");
    EXPECT_EQ(w.client.read("own/a/b/c"), "!ENOENT");
    EXPECT_EQ(w.client.read("own/a"), "!ENOENT");
    EXPECT_EQ(w.client.rm("own/a"), "OK") << "nothing to remove";
    EXPECT_EQ(w.client.rm("own/a/b"), "!ENOENT") << "no parent either";
}

TEST(Protocol, TheRootStays) {
    World w;
    Client host{w.store, domain0};
    EXPECT_EQ(host.rm("/"), "!EINVAL");
    EXPECT_EQ(w.client.rm("/"), "!EACCES");
    EXPECT_EQ(host.write("/", "v"), "OK");
    EXPECT_EQ(host.read("/"), "v");
}

TEST(Protocol, DirectoryInOrderOfCreation) {
    World w;
    for (const char* name : {"c", "a", "b"})
        w.client.mkdir(std::string{"own/"} + name);
    EXPECT_EQ(w.client.directory("own"), nul({"c", "a", "b"}));
    EXPECT_EQ(w.client.directory("own/a"), "");
}

TEST(Protocol, LargeDirectoryIsReadInParts) {
    World w;
    std::string all;
    for (int i = 0; i < 1000; ++i) {
        const auto name = "node-" + std::to_string(i);
        ASSERT_TRUE(w.store.write("/local/domain/1/big/" + name, "").ok());
        all += nul({name});
    }
    EXPECT_EQ(w.client.directory("big"), "!E2BIG");
    std::string names;
    std::string generation;
    for (;;) {
        const auto part = w.client.call(XS_DIRECTORY_PART, nul({"big", std::to_string(names.size())}));
        ASSERT_LE(part.size(), XENSTORE_PAYLOAD_MAX);
        const auto cut = part.find('\0');
        ASSERT_NE(cut, std::string::npos);
        if (generation.empty())
            generation = part.substr(0, cut);
        EXPECT_EQ(part.substr(0, cut), generation);
        const auto piece = part.substr(cut + 1);
        if (piece.ends_with(std::string(2, '\0'))) {
            names += piece.substr(0, piece.size() - 1);
            break;
        }
        ASSERT_FALSE(piece.empty());
        names += piece;
    }
    EXPECT_EQ(names, all);
    ASSERT_TRUE(w.store.write("/local/domain/1/big/one-more", "").ok());
    const auto later = w.client.call(XS_DIRECTORY_PART, nul({"big", "0"}));
    EXPECT_NE(later.substr(0, later.find('\0')), generation);
    const auto beyond = w.client.call(XS_DIRECTORY_PART, nul({"big", "1000000"}));
    EXPECT_EQ(beyond.substr(beyond.find('\0')), std::string(2, '\0'));
}

TEST(Protocol, DirectoryPartOfAnEmptyNodeAndMalformed) {
    World w;
    const auto empty = w.client.call(XS_DIRECTORY_PART, nul({"own", "0"}));
    EXPECT_EQ(empty.substr(empty.find('\0')), std::string(2, '\0'));
    for (const auto& payload : {nul({"own"}), nul({"own", ""}), nul({"own", "x"}), nul({"own", "-1"}),
                                nul({"own", "99999999999999999999999"}), std::string{}, nul({"", "0"})})
        EXPECT_EQ(w.client.call(XS_DIRECTORY_PART, payload), "!EINVAL") << payload;
    EXPECT_EQ(w.client.call(XS_DIRECTORY_PART, nul({"own/none", "0"})), "!ENOENT");
    EXPECT_EQ(w.client.call(XS_DIRECTORY_PART, nul({"/tool", "0"})), "!EACCES");
}

TEST(Protocol, AnOverlongValueOfTheHostIsTooBig) {
    World w;
    ASSERT_TRUE(w.store.write("/local/domain/1/long", std::string(4096, 'x')).ok());
    EXPECT_EQ(w.client.read("long").size(), 4096u);
    ASSERT_TRUE(w.store.write("/local/domain/1/long", std::string(4097, 'x')).ok());
    EXPECT_EQ(w.client.read("long"), "!E2BIG");
}

TEST(Protocol, Permissions) {
    World w;
    w.client.mkdir("own/a");
    EXPECT_EQ(w.client.perms("own/a"), nul({"n1"}));
    EXPECT_EQ(Client::ack(w.client.call(XS_SET_PERMS, nul({"own/a", "b1", "r2", "w3"}))), "OK");
    EXPECT_EQ(w.client.perms("own/a"), nul({"b1", "r2", "w3"}));
    EXPECT_EQ(w.client.perms("/local/domain/1"), nul({"n0", "r1"}));
    for (const auto& payload : {nul({"own/a"}), nul({"own/a", "x1"}), nul({"own/a", "r"}), nul({"own/a", ""}),
                                std::string{}, nul({"own/a", "n1", "rubbish"})})
        EXPECT_EQ(w.client.call(XS_SET_PERMS, payload), "!EINVAL");
    EXPECT_EQ(w.client.call(XS_SET_PERMS, nul({"own/none", "n1"})), "!ENOENT");
}

TEST(Protocol, DomainQuestions) {
    World w;
    EXPECT_EQ(w.client.call(XS_GET_DOMAIN_PATH, nul({"1"})), nul({"/local/domain/1"}));
    EXPECT_EQ(w.client.call(XS_GET_DOMAIN_PATH, nul({"007"})), nul({"/local/domain/7"}));
    EXPECT_EQ(w.client.call(XS_GET_DOMAIN_PATH, nul({"x"})), "!EINVAL");
    EXPECT_EQ(w.client.call(XS_GET_DOMAIN_PATH, ""), "!EINVAL");
    EXPECT_EQ(w.client.call(XS_IS_DOMAIN_INTRODUCED, nul({"1"})), nul({"T"}));
    EXPECT_EQ(w.client.call(XS_IS_DOMAIN_INTRODUCED, nul({"0"})), nul({"T"}));
    EXPECT_EQ(w.client.call(XS_IS_DOMAIN_INTRODUCED, nul({"2"})), nul({"F"}));
    EXPECT_EQ(w.client.call(XS_IS_DOMAIN_INTRODUCED, nul({"32752"})), nul({"T"})) << "DOMID_SELF";
    EXPECT_EQ(w.client.call(XS_IS_DOMAIN_INTRODUCED, nul({"-1"})), "!EINVAL");
}

TEST(Protocol, ToolstackRequestsAreRefused) {
    World w;
    Client host{w.store, domain0};
    for (const auto op : {XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_RESUME, XS_SET_TARGET}) {
        EXPECT_EQ(w.client.call(op, nul({"1", "2", "3"})), "!EACCES");
        EXPECT_EQ(w.client.call(op, ""), "!EACCES");
        EXPECT_EQ(host.call(op, nul({"1", "2", "3"})), "!ENOSYS");
    }
}

TEST(Protocol, UnknownRequests) {
    World w;
    for (const std::uint32_t op : {15u, 16u, 20u, 23u, 24u, 25u, 26u, 0xffffu, 0xffffffffu})
        EXPECT_EQ(w.client.call(op, nul({"own"})), "!ENOSYS") << op;
}

TEST(Protocol, SpecialNodes) {
    World w;
    Client host{w.store, domain0};
    EXPECT_EQ(w.client.perms("@releaseDomain"), "!EACCES");
    EXPECT_EQ(host.perms("@releaseDomain"), nul({"n0"}));
    EXPECT_EQ(host.perms("@other"), "!ENOENT");
    EXPECT_EQ(w.client.call(XS_SET_PERMS, nul({"@releaseDomain", "n1"})), "!EACCES");
    EXPECT_EQ(Client::ack(host.call(XS_SET_PERMS, nul({"@releaseDomain", "n0", "r1"}))), "OK");
    EXPECT_EQ(w.client.perms("@releaseDomain"), nul({"n0", "r1"}));
    EXPECT_EQ(w.client.read("@releaseDomain"), "!EINVAL");
    EXPECT_EQ(w.client.mkdir("@releaseDomain"), "!EINVAL");
}

TEST(Protocol, HeaderIsEchoed) {
    World w;
    w.client.send(encode(XS_READ, nul({"own"}), 0, 0xdeadbeef));
    ASSERT_EQ(w.client.order.size(), 1u);
    EXPECT_EQ(w.client.order[0].header.req_id, 0xdeadbeefu);
    w.client.order.clear();
    w.client.send(encode(XS_READ, nul({"own"}), 99, 5));
    ASSERT_EQ(w.client.order.size(), 1u);
    EXPECT_EQ(w.client.order[0].header.type, XS_ERROR);
    EXPECT_EQ(w.client.order[0].header.tx_id, 99u);
    EXPECT_EQ(w.client.order[0].payload, nul({"ENOENT"}));
}

} // namespace
} // namespace parapet::xenstore::test
