// SPDX-License-Identifier: Apache-2.0
// Limits: at the limit it works, one beyond it is refused, and giving back makes room again.
#include "client.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore::test {
namespace {

TEST(Quota, NodesPerDomain) {
    Quotas quotas;
    quotas.nodes_per_domain = 10; // "own" is one
    World w{quotas};
    for (int i = 0; i < 9; ++i)
        EXPECT_EQ(w.client.mkdir("own/" + std::to_string(i)), "OK");
    EXPECT_EQ(w.client.mkdir("own/more"), "!ENOSPC");
    EXPECT_EQ(w.client.write("own/more", "x"), "!ENOSPC");
    EXPECT_EQ(w.client.write("own/0", "x"), "OK") << "no new node";
    w.client.rm("own/0");
    EXPECT_EQ(w.client.write("own/x/y", "x"), "!ENOSPC") << "two are needed, and none is made";
    EXPECT_EQ(w.client.read("own/x"), "!ENOENT");
    EXPECT_EQ(w.client.write("own/x", "x"), "OK");
    EXPECT_TRUE(w.store.write("/local/domain/1/own/host", "x").ok()) << "the host is not limited";
}

TEST(Quota, NodesInTransactions) {
    Quotas quotas;
    quotas.nodes_per_domain = 4;
    World w{quotas};
    w.client.mkdir("own/a");
    w.client.mkdir("own/b");
    const auto one = w.client.start();
    const auto two = w.client.start();
    EXPECT_EQ(w.client.mkdir("own/a/1", one), "OK");
    EXPECT_EQ(w.client.mkdir("own/a/2", one), "!ENOSPC");
    EXPECT_EQ(w.client.mkdir("own/b/1", two), "OK");
    EXPECT_EQ(w.client.end(one), "OK");
    EXPECT_EQ(w.client.end(two), "!ENOSPC") << "together they would be too many";
    EXPECT_EQ(w.client.read("own/b/1"), "!ENOENT");
}

TEST(Quota, AbortedTransactionsCountNothing) {
    Quotas quotas;
    quotas.nodes_per_domain = 3;
    World w{quotas};
    for (int i = 0; i < 10; ++i) {
        const auto tx = w.client.start();
        EXPECT_EQ(w.client.write("own/a/b", "", tx), "OK");
        EXPECT_EQ(w.client.end(tx, false), "OK");
    }
    EXPECT_EQ(w.client.write("own/a/b", ""), "OK");
}

TEST(Quota, NodeSize) {
    World w;
    EXPECT_EQ(w.client.write("own/a", std::string(2040, 'x')), "OK") << "and 8 for the permission";
    EXPECT_EQ(w.client.write("own/a", std::string(2041, 'x')), "!ENOSPC");
    EXPECT_EQ(w.client.read("own/a").size(), 2040u);
    EXPECT_EQ(w.client.write("own/b", std::string(2041, 'x')), "!ENOSPC");
    EXPECT_EQ(w.client.read("own/b"), "!ENOENT");
    EXPECT_EQ(w.client.mkdir("own/a/child"), "!ENOSPC") << "names of children count";
    EXPECT_EQ(w.client.call(abi::XS_SET_PERMS, nul({"own/a", "n1", "r2"})), "!ENOSPC");
    EXPECT_EQ(w.client.mkdir("own/c/" + std::string(2043, 'x')), "!EINVAL") << "too long a path";
    EXPECT_EQ(w.client.mkdir("own/" + std::string(2040, 'x')), "!ENOSPC") << "too long a name";
}

TEST(Quota, PathLength) {
    World w;
    std::string path = "own";
    while (path.size() < 2048 - 200)
        path += '/' + std::string(100, 'x');
    path += '/' + std::string(2048 - path.size() - 1, 'y');
    ASSERT_EQ(path.size(), 2048u);
    EXPECT_EQ(w.client.write(path, ""), "OK");
    EXPECT_EQ(w.client.write(path + 'y', ""), "!EINVAL");
    EXPECT_EQ(w.client.write("/local/domain/1/" + path, ""), "OK") << "the prefix does not count";
    EXPECT_EQ(w.client.read("/local/domain/1/" + path + 'y'), "!EINVAL");
}

TEST(Quota, PermissionsPerNode) {
    World w;
    EXPECT_EQ(Client::ack(w.client.call(abi::XS_SET_PERMS, nul({"own", "n1", "r2", "r3", "r4", "r5"}))), "OK");
    EXPECT_EQ(w.client.call(abi::XS_SET_PERMS, nul({"own", "n1", "r2", "r3", "r4", "r5", "r6"})), "!ENOSPC");
}

TEST(Quota, Watches) {
    World w;
    for (int i = 0; i < 128; ++i)
        EXPECT_EQ(w.client.watch("own", std::to_string(i)), "OK");
    EXPECT_EQ(w.client.watch("own", "more"), "!E2BIG");
    EXPECT_EQ(w.client.watch("@releaseDomain", "more"), "!E2BIG");
    EXPECT_EQ(w.client.unwatch("own", "0"), "OK");
    EXPECT_EQ(w.client.watch("own", "more"), "OK");
}

TEST(Quota, Transactions) {
    World w;
    std::uint32_t last = 0;
    for (int i = 0; i < 10; ++i) {
        last = w.client.start();
        EXPECT_NE(last, 0u);
    }
    EXPECT_EQ(w.client.call(abi::XS_TRANSACTION_START, nul({""})), "!ENOSPC");
    w.client.end(last);
    EXPECT_NE(w.client.start(), 0u);
}

TEST(Quota, PathsPerTransaction) {
    Quotas quotas;
    quotas.nodes_per_transaction = 20;
    World w{quotas};
    const auto tx = w.client.start();
    for (int i = 1; i < 20; ++i) // and "own", which the answers rest on
        EXPECT_EQ(w.client.read("own/" + std::to_string(i), tx), "!ENOENT");
    EXPECT_EQ(w.client.read("own/20", tx), "!ENOSPC");
    EXPECT_EQ(w.client.mkdir("own/new", tx), "!ENOSPC");
    EXPECT_EQ(w.client.read("own/3", tx), "!ENOENT") << "known already";
    EXPECT_EQ(w.client.end(tx), "OK");
}

} // namespace
} // namespace parapet::xenstore::test
