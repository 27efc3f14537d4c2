// SPDX-License-Identifier: Apache-2.0
// What a guest may not do, and who owns what is made.
#include "client.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore::test {
namespace {

TEST(Permission, AGuestStaysInItsOwn) {
    World w;
    ASSERT_TRUE(w.store.write("/local/domain/2/own/a", "secret").ok());
    for (const char* path : {"/local/domain/2/own/a", "/local/domain/2", "/", "/tool", "/local/domain", "/new"}) {
        EXPECT_EQ(w.client.write(path, "x"), "!EACCES") << path;
        EXPECT_EQ(w.client.read(path), "!EACCES") << path;
        EXPECT_EQ(w.client.rm(path), "!EACCES") << path;
        EXPECT_EQ(w.client.mkdir(std::string{path == std::string{"/"} ? "" : path} + "/below"), "!EACCES") << path;
        EXPECT_EQ(w.client.directory(path), "!EACCES") << path;
        EXPECT_EQ(w.client.perms(path), "!EACCES") << path;
        EXPECT_EQ(w.client.call(abi::XS_SET_PERMS, nul({path, "n1"})), "!EACCES") << path;
    }
    EXPECT_EQ(w.store.read("/local/domain/2/own/a").value(), "secret");
}

TEST(Permission, AReadOnlyHome) {
    World w;
    EXPECT_EQ(w.client.directory("/local/domain/1"), nul({"own"}));
    EXPECT_EQ(w.client.write("new", "x"), "!EACCES");
    EXPECT_EQ(w.client.mkdir("new"), "!EACCES");
    ASSERT_TRUE(w.store.write("/local/domain/1/name", "n").ok());
    EXPECT_EQ(w.client.read("name"), "n") << "made by the host with its parent's permissions";
    EXPECT_EQ(w.client.write("name", "x"), "!EACCES");
    EXPECT_EQ(w.client.rm("name"), "!EACCES");
}

TEST(Permission, MissingNodesTellNothing) {
    World w;
    EXPECT_EQ(w.client.read("/tool/none"), "!EACCES");
    EXPECT_EQ(w.client.read("/local/domain/2/x/y"), "!EACCES");
    EXPECT_EQ(w.client.read("own/none"), "!ENOENT");
}

TEST(Permission, WhatAGuestMakesIsItsOwn) {
    World w;
    ASSERT_TRUE(w.store.mkdir("/shared").ok());
    ASSERT_TRUE(
        w.store.set_permissions("/shared", {{domain0, Access::None}, {guest, Access::Both}, {DomId{2}, Access::Read}})
            .ok());
    EXPECT_EQ(w.client.write("/shared/a/b", "x"), "OK");
    EXPECT_EQ(w.client.perms("/shared/a"), nul({"n1", "b1", "r2"})) << "inherited but for the owner";
    EXPECT_EQ(w.client.perms("/shared/a/b"), nul({"n1", "b1", "r2"}));
}

TEST(Permission, WhatTheHostMakesInAGuestsNodeIsTheGuests) {
    World w;
    ASSERT_TRUE(w.store.write("/local/domain/1/own/host", "x").ok());
    EXPECT_EQ(w.client.write("own/host", "y"), "OK");
}

TEST(Permission, OwnersCannotGiveAway) {
    World w;
    EXPECT_EQ(w.client.call(abi::XS_SET_PERMS, nul({"own", "n0"})), "!EPERM");
    EXPECT_EQ(w.client.call(abi::XS_SET_PERMS, nul({"own", "n2", "b1"})), "!EPERM");
    EXPECT_EQ(w.client.perms("own"), nul({"n1"}));
}

TEST(Permission, OnlyOwnersChangeThem) {
    World w;
    ASSERT_TRUE(w.store.set_permissions("/local/domain/1/own", {{domain0, Access::None}, {guest, Access::Both}}).ok());
    EXPECT_EQ(w.client.write("own", "x"), "OK");
    EXPECT_EQ(w.client.call(abi::XS_SET_PERMS, nul({"own", "n1"})), "!EACCES");
}

TEST(Permission, WriteOnly) {
    World w;
    ASSERT_TRUE(w.store.mkdir("/box").ok());
    ASSERT_TRUE(w.store.set_permissions("/box", {{domain0, Access::None}, {guest, Access::Write}}).ok());
    EXPECT_EQ(w.client.write("/box", "x"), "OK");
    EXPECT_EQ(w.client.read("/box"), "!EACCES");
    EXPECT_EQ(w.client.perms("/box"), "!EACCES");
    EXPECT_EQ(w.client.read("/box/none"), "!EACCES");
}

TEST(Permission, AnotherGuestNeedsLeave) {
    World w;
    Client other{w.store, DomId{2}};
    w.client.write("own/a", "x");
    EXPECT_EQ(other.read("/local/domain/1/own/a"), "!EACCES");
    w.client.call(abi::XS_SET_PERMS, nul({"own/a", "n1", "r2"}));
    EXPECT_EQ(other.read("/local/domain/1/own/a"), "x") << "ancestors do not matter, as in Xen";
    EXPECT_EQ(other.write("/local/domain/1/own/a", "y"), "!EACCES");
}

} // namespace
} // namespace parapet::xenstore::test
