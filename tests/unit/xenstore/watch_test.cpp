// SPDX-License-Identifier: Apache-2.0
// Watches: when they fire, with which path, and for whom not.
#include "client.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore::test {
namespace {

using Events = std::vector<std::string>;

TEST(Watch, FiresOnceAtOnce) {
    World w;
    EXPECT_EQ(w.client.watch("own/a", "t"), "OK");
    EXPECT_EQ(w.client.events(), Events{"own/a t"}) << "also where there is no node";
    EXPECT_EQ(w.client.watch("/tool", "t"), "OK");
    EXPECT_EQ(w.client.events(), Events{"/tool t"});
}

TEST(Watch, ReplyComesBeforeItsEvents) {
    World w;
    w.client.send(encode(abi::XS_WATCH, nul({"own", "t"})));
    w.client.send(encode(abi::XS_WRITE, nul({"own/a"})));
    ASSERT_EQ(w.client.order.size(), 4u);
    EXPECT_EQ(w.client.order[0].header.type, abi::XS_WATCH);
    EXPECT_EQ(w.client.order[1].header.type, abi::XS_WATCH_EVENT);
    EXPECT_EQ(w.client.order[1].header.req_id, 0u);
    EXPECT_EQ(w.client.order[1].header.tx_id, 0u);
    EXPECT_EQ(w.client.order[2].header.type, abi::XS_WRITE);
    EXPECT_EQ(w.client.order[3].header.type, abi::XS_WATCH_EVENT);
}

TEST(Watch, PathsComeAsTheyWereGiven) {
    World w;
    w.client.watch("own", "rel");
    w.client.watch("/local/domain/1/own", "abs");
    w.client.events();
    w.client.write("/local/domain/1/own/a", "x");
    EXPECT_EQ(w.client.events(), (Events{"own/a rel", "/local/domain/1/own/a abs"}));
}

TEST(Watch, CoversAllBelowAndNothingBeside) {
    World w;
    w.client.watch("own/a", "t");
    w.client.events();
    w.client.write("own/a/b/c", "x");
    EXPECT_EQ(w.client.events(), Events{"own/a/b/c t"});
    w.client.write("own/ab", "x");
    w.client.write("own", "x");
    EXPECT_EQ(w.client.events(), Events{});
    w.client.mkdir("own/a");
    EXPECT_EQ(w.client.events(), Events{}) << "nothing changed";
    w.client.write("own/a", "");
    EXPECT_EQ(w.client.events(), Events{"own/a t"}) << "a write counts, whatever the value";
}

TEST(Watch, RemovalTellsAncestorsAndThoseBelow) {
    World w;
    w.client.write("own/a/b/c", "x");
    w.client.watch("own", "up");
    w.client.watch("own/a/b/c", "down");
    w.client.watch("own/a/none", "none");
    w.client.events();
    w.client.rm("own/a");
    EXPECT_EQ(w.client.events(), (Events{"own/a up", "own/a/b/c down"}));
    w.client.rm("own/a");
    EXPECT_EQ(w.client.events(), Events{});
}

TEST(Watch, PermissionChangesFire) {
    World w;
    w.client.watch("own", "t");
    w.client.events();
    w.client.call(abi::XS_SET_PERMS, nul({"own", "r1"}));
    EXPECT_EQ(w.client.events(), Events{"own t"});
}

TEST(Watch, TransactionsFireAtTheCommitOnce) {
    World w;
    w.client.write("own/gone/x", "0");
    w.client.watch("own", "t");
    w.client.watch("own/gone/x", "deep");
    w.client.events();
    const auto tx = w.client.start();
    w.client.write("own/a", "1", tx);
    w.client.write("own/b", "1", tx);
    w.client.write("own/a", "2", tx);
    w.client.rm("own/gone", tx);
    w.client.write("own/brief", "1", tx);
    w.client.rm("own/brief", tx);
    EXPECT_EQ(w.client.events(), Events{});
    EXPECT_EQ(w.client.end(tx), "OK");
    EXPECT_EQ(w.client.events(), (Events{"own/a t", "own/b t", "own/gone t", "own/gone/x deep"}));
}

TEST(Watch, MergedTransactionsFireToo) {
    World w;
    w.client.write("own/b", "0");
    w.client.write("own/a/x", "0");
    w.client.watch("own/a", "t");
    w.client.events();
    const auto tx = w.client.start();
    w.client.write("own/a/x", "1", tx);
    w.client.write("own/b", "between");
    EXPECT_EQ(w.client.end(tx), "OK");
    EXPECT_EQ(w.client.events(), Events{"own/a/x t"});
}

TEST(Watch, AbortedAndFailedTransactionsDoNotFire) {
    World w;
    w.client.write("own/a", "0");
    w.client.watch("own", "t");
    w.client.events();
    const auto aborted = w.client.start();
    w.client.write("own/a", "1", aborted);
    w.client.end(aborted, false);
    EXPECT_EQ(w.client.events(), Events{});
    const auto failed = w.client.start();
    w.client.write("own/a", "1", failed);
    w.client.write("own/a", "2");
    w.client.events();
    EXPECT_EQ(w.client.end(failed), "!EAGAIN");
    EXPECT_EQ(w.client.events(), Events{});
}

TEST(Watch, TransactionIdOfAWatchIsIgnored) {
    World w;
    EXPECT_EQ(Client::ack(w.client.call(abi::XS_WATCH, nul({"own", "t"}), 4711)), "OK");
    EXPECT_EQ(Client::ack(w.client.call(abi::XS_UNWATCH, nul({"own", "t"}), 4711)), "OK");
}

TEST(Watch, TokensTellWatchesApart) {
    World w;
    EXPECT_EQ(w.client.watch("own", "a"), "OK");
    EXPECT_EQ(w.client.watch("own", "b"), "OK");
    EXPECT_EQ(w.client.watch("own", "a"), "!EEXIST");
    EXPECT_EQ(w.client.watch("/local/domain/1/own", "a"), "!EEXIST") << "the same path, as Xen has it";
    EXPECT_EQ(w.client.unwatch("own", "a"), "OK");
    EXPECT_EQ(w.client.unwatch("own", "a"), "!ENOENT");
    w.client.events();
    w.client.write("own", "x");
    EXPECT_EQ(w.client.events(), Events{"own b"});
    EXPECT_EQ(w.client.watch("own", ""), "OK") << "an empty token";
}

TEST(Watch, Malformed) {
    World w;
    for (const auto op : {abi::XS_WATCH, abi::XS_UNWATCH}) {
        EXPECT_EQ(w.client.call(op, ""), "!EINVAL");
        EXPECT_EQ(w.client.call(op, nul({"own"})), "!EINVAL");
        EXPECT_EQ(w.client.call(op, nul({"own"}) + "t"), "!EINVAL");
        EXPECT_EQ(w.client.call(op, nul({"own//a", "t"})), "!EINVAL");
        EXPECT_EQ(w.client.call(op, nul({"", "t"})), "!EINVAL");
    }
    EXPECT_EQ(w.client.watch('@' + std::string(2048, 'x'), "t"), "!EINVAL");
    EXPECT_EQ(Client::ack(w.client.call(abi::XS_WATCH, nul({"own", "t", "reserved"}))), "OK");
}

TEST(Watch, ResetDropsWatchesAndTransactions) {
    World w;
    w.client.watch("own", "t");
    const auto tx = w.client.start();
    w.client.events();
    EXPECT_EQ(Client::ack(w.client.call(abi::XS_RESET_WATCHES, nul({""}))), "OK");
    w.client.write("own", "x");
    EXPECT_EQ(w.client.events(), Events{});
    EXPECT_EQ(w.client.end(tx), "!ENOENT");
    const auto inside = w.client.start();
    EXPECT_EQ(Client::ack(w.client.call(abi::XS_RESET_WATCHES, nul({""}), inside)), "OK");
    EXPECT_EQ(w.client.end(inside), "!ENOENT");
}

TEST(Watch, SpecialPaths) {
    World w;
    Client host{w.store, domain0};
    w.client.watch("@releaseDomain", "guest");
    host.watch("@releaseDomain", "host");
    host.watch("@introduceDomain", "intro");
    EXPECT_EQ(w.client.events(), Events{"@releaseDomain guest"}) << "the first one";
    host.events();
    w.store.introduce_domain(DomId{5});
    EXPECT_EQ(host.events(), Events{"@introduceDomain intro"});
    w.store.release_domain(DomId{5});
    EXPECT_EQ(host.events(), Events{"@releaseDomain host"});
    EXPECT_EQ(w.client.events(), Events{}) << "no right to know";
    host.call(abi::XS_SET_PERMS, nul({"@releaseDomain", "n0", "r1"}));
    w.store.release_domain(DomId{6});
    EXPECT_EQ(w.client.events(), Events{"@releaseDomain guest"});
    EXPECT_EQ(w.client.unwatch("@releaseDomain", "guest"), "OK");
}

TEST(Watch, WhatAGuestMayNotReadItDoesNotHearOf) {
    World w;
    w.client.watch("/", "root");
    w.client.events();
    ASSERT_TRUE(w.store.write("/secret/key", "x").ok());
    ASSERT_TRUE(w.store.write("/local/domain/2/x", "x").ok());
    ASSERT_TRUE(w.store.rm("/secret").ok());
    EXPECT_EQ(w.client.events(), Events{});
    ASSERT_TRUE(w.store.write("/local/domain/1/seen", "x").ok());
    EXPECT_EQ(w.client.events(), Events{"/local/domain/1/seen root"});
}

TEST(Watch, HearsOfTheRemovalOfWhatItCouldRead) {
    World w;
    ASSERT_TRUE(w.store.write("/box/open", "x").ok());
    ASSERT_TRUE(w.store.set_permissions("/box/open", {{domain0, Access::None}, {guest, Access::Read}}).ok());
    w.client.watch("/box/open", "t");
    w.client.events();
    ASSERT_TRUE(w.store.rm("/box").ok());
    EXPECT_EQ(w.client.events(), Events{"/box/open t"});
}

TEST(Watch, GoesWithItsConnection) {
    World w;
    {
        Client other{w.store, guest};
        other.watch("own", "t");
    }
    EXPECT_EQ(w.client.write("own", "x"), "OK");
}

TEST(Watch, OverlongEventsAreLeftOut) {
    World w;
    const std::string token(2000, 't');
    ASSERT_EQ(w.client.watch("own", token), "OK");
    w.client.events();
    ASSERT_TRUE(w.store.write("/local/domain/1/own/" + std::string(2500, 'p'), "x").ok());
    EXPECT_EQ(w.client.events(), Events{});
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "x").ok());
    EXPECT_EQ(w.client.events(), Events{"own/a " + token});
}

} // namespace
} // namespace parapet::xenstore::test
