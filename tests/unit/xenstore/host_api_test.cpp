// SPDX-License-Identifier: Apache-2.0
// The host's API: errors as sentences, callbacks and what they may do.
#include "client.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore::test {
namespace {

TEST(HostApi, ReadWriteListRemove) {
    Store store;
    EXPECT_TRUE(store.write("/a/b", "1").ok());
    EXPECT_TRUE(store.write("/a/c", "2").ok());
    EXPECT_TRUE(store.mkdir("/a/c").ok());
    EXPECT_EQ(store.read("/a/c").value(), "2");
    EXPECT_EQ(store.list("/a").value(), (std::vector<std::string>{"b", "c"}));
    EXPECT_TRUE(store.list("/a/b").value().empty());
    EXPECT_TRUE(store.exists("/a"));
    EXPECT_TRUE(store.rm("/a").ok());
    EXPECT_TRUE(store.rm("/a/b/c").ok()) << "nothing to remove is no error here";
    EXPECT_FALSE(store.exists("/a"));
    EXPECT_TRUE(store.write("name", "x").ok());
    EXPECT_EQ(store.read("/local/domain/0/name").value(), "x");
}

TEST(HostApi, ErrorsNameThePathAndTheReason) {
    Store store;
    EXPECT_EQ(store.read("/none").error().message, "xenstore: cannot read \"/none\": there is no such node (ENOENT).");
    EXPECT_NE(store.write("/a//b", "").error().message.find("malformed (EINVAL)"), std::string::npos);
    EXPECT_FALSE(store.rm("/").ok());
    EXPECT_FALSE(store.list("").ok());
    EXPECT_FALSE(store.set_permissions("/", {}).ok());
    EXPECT_FALSE(store.set_permissions("/none", {{domain0, Access::None}}).ok());
    EXPECT_FALSE(store.permissions("/none").ok());
    EXPECT_FALSE(store.watch("bad path", [](const std::string&) {}).ok());
}

TEST(HostApi, WatchCallsBack) {
    World w;
    std::vector<std::string> seen;
    const auto id = w.store.watch("/local/domain/1/own", [&](const std::string& path) { seen.push_back(path); });
    ASSERT_TRUE(id.ok());
    EXPECT_EQ(seen, std::vector<std::string>{"/local/domain/1/own"});
    seen.clear();
    w.client.write("own/exit-code", "3");
    EXPECT_EQ(seen, std::vector<std::string>{"/local/domain/1/own/exit-code"});
    w.store.unwatch(*id);
    w.store.unwatch(*id);
    w.client.write("own/exit-code", "4");
    EXPECT_EQ(seen.size(), 1u);
}

TEST(HostApi, CallbacksMayChangeTheStoreAndTheWatches) {
    Store store;
    std::string log;
    WatchId first{};
    const auto id = store.watch("/a", [&](const std::string& path) {
        log += "a:" + path + ' ';
        if (path == "/a/go") {
            EXPECT_TRUE(store.write("/b", "x").ok());
            EXPECT_EQ(store.read("/b").value(), "x");
            store.unwatch(first);
            EXPECT_TRUE(store.watch("/c", [&](const std::string& p) { log += "c:" + p + ' '; }).ok());
            log += "end ";
        }
    });
    first = *id;
    ASSERT_TRUE(store.watch("/b", [&](const std::string& path) { log += "b:" + path + ' '; }).ok());
    log.clear();
    ASSERT_TRUE(store.write("/a/go", "").ok());
    EXPECT_EQ(log, "a:/a/go end b:/b c:/c ");
    log.clear();
    ASSERT_TRUE(store.write("/a/go", "").ok());
    EXPECT_EQ(log, "");
}

TEST(HostApi, CallbackSeesTheWholeTransaction) {
    World w;
    std::string both;
    const auto id = w.store.watch("/local/domain/1/own/a", [&](const std::string&) {
        const auto a = w.store.read("/local/domain/1/own/a");
        const auto b = w.store.read("/local/domain/1/own/b");
        both = (a.ok() ? *a : "-") + (b.ok() ? *b : "-");
    });
    ASSERT_TRUE(id.ok());
    const auto tx = w.client.start();
    w.client.write("own/a", "1", tx);
    w.client.write("own/b", "2", tx);
    EXPECT_EQ(both, "--");
    w.client.end(tx);
    EXPECT_EQ(both, "12");
}

TEST(HostApi, AnswerOfACallbackReachesTheGuestAfterItsReply) {
    World w;
    const auto id = w.store.watch("/local/domain/1/own/state", [&](const std::string& path) {
        if (w.store.exists(path)) {
            EXPECT_TRUE(w.store.write("/local/domain/1/own/answer", "x").ok());
        }
    });
    ASSERT_TRUE(id.ok());
    w.client.watch("own/answer", "t");
    w.client.events();
    w.client.send(encode(abi::XS_WRITE, nul({"own/state"}) + "4"));
    ASSERT_EQ(w.client.order.size(), 2u);
    EXPECT_EQ(w.client.order[0].header.type, abi::XS_WRITE);
    EXPECT_EQ(w.client.order[1].header.type, abi::XS_WATCH_EVENT);
}

} // namespace
} // namespace parapet::xenstore::test
