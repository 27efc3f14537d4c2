// SPDX-License-Identifier: Apache-2.0
// Isolation, conflicts, aborts, and a random comparison with a model that runs each transaction alone.
#include "client.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <optional>
#include <random>

namespace parapet::xenstore::test {
namespace {

TEST(Transaction, SeesASnapshot) {
    World w;
    w.client.write("own/a", "1");
    const auto tx = w.client.start();
    ASSERT_NE(tx, 0u);
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "2").ok());
    ASSERT_TRUE(w.store.write("/local/domain/1/own/new", "").ok());
    EXPECT_EQ(w.client.read("own/a", tx), "1");
    EXPECT_EQ(w.client.directory("own", tx), nul({"a"}));
    EXPECT_EQ(w.client.read("own/a"), "2") << "outside of it";
}

TEST(Transaction, IsInvisibleUntilCommitted) {
    World w;
    const auto tx = w.client.start();
    EXPECT_EQ(w.client.write("own/a/b", "x", tx), "OK");
    EXPECT_EQ(w.client.read("own/a/b", tx), "x");
    EXPECT_EQ(w.client.read("own/a/b"), "!ENOENT");
    EXPECT_EQ(w.client.end(tx), "OK");
    EXPECT_EQ(w.client.read("own/a/b"), "x");
}

TEST(Transaction, AbortUndoesAll) {
    World w;
    w.client.write("own/a", "1");
    const auto tx = w.client.start();
    w.client.rm("own/a", tx);
    w.client.write("own/b", "x", tx);
    w.client.call(abi::XS_SET_PERMS, nul({"own", "b1"}), tx);
    EXPECT_EQ(w.client.end(tx, false), "OK");
    EXPECT_EQ(w.client.read("own/a"), "1");
    EXPECT_EQ(w.client.read("own/b"), "!ENOENT");
    EXPECT_EQ(w.client.perms("own"), nul({"n1"}));
    EXPECT_EQ(w.client.end(tx, false), "!ENOENT") << "it is gone";
    EXPECT_EQ(w.client.read("own/a", tx), "!ENOENT");
}

TEST(Transaction, ConflictsWithAnotherWriteOfWhatItRead) {
    World w;
    w.client.write("own/a", "1");
    const auto tx = w.client.start();
    w.client.read("own/a", tx);
    w.client.write("own/b", "x", tx);
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "2").ok());
    EXPECT_EQ(w.client.end(tx), "!EAGAIN");
    EXPECT_EQ(w.client.read("own/b"), "!ENOENT");
    EXPECT_EQ(w.client.end(tx), "!ENOENT") << "a failed commit ends it too";
}

TEST(Transaction, ConflictsEvenIfTheSameValueComesBack) {
    World w;
    w.client.write("own/a", "1");
    const auto tx = w.client.start();
    w.client.read("own/a", tx);
    w.client.write("own/a", "2");
    w.client.write("own/a", "1");
    EXPECT_EQ(w.client.end(tx), "!EAGAIN");
}

TEST(Transaction, ConflictsWithCreationOfWhatItFoundMissing) {
    World w;
    const auto tx = w.client.start();
    EXPECT_EQ(w.client.read("own/a", tx), "!ENOENT");
    w.client.write("own/a", "other");
    EXPECT_EQ(w.client.end(tx), "!EAGAIN");
}

TEST(Transaction, ConflictsWithAChangeBelowWhatItRemoved) {
    World w;
    w.client.write("own/a/b/c", "1");
    const auto tx = w.client.start();
    EXPECT_EQ(w.client.rm("own/a", tx), "OK");
    w.client.write("own/a/b/c", "2");
    EXPECT_EQ(w.client.end(tx), "!EAGAIN");
    EXPECT_EQ(w.client.read("own/a/b/c"), "2");
}

TEST(Transaction, ConflictsWithAChildAddedToWhatItListed) {
    World w;
    const auto tx = w.client.start();
    w.client.directory("own", tx);
    w.client.mkdir("own/new");
    EXPECT_EQ(w.client.end(tx), "!EAGAIN");
}

TEST(Transaction, OfTwoWritersTheFirstWins) {
    World w;
    w.client.write("own/a", "0");
    const auto first = w.client.start();
    const auto second = w.client.start();
    EXPECT_NE(first, second);
    w.client.write("own/a", "1", first);
    w.client.write("own/a", "2", second);
    EXPECT_EQ(w.client.end(first), "OK");
    EXPECT_EQ(w.client.end(second), "!EAGAIN");
    EXPECT_EQ(w.client.read("own/a"), "1");
}

TEST(Transaction, UnrelatedChangesDoNotConflict) {
    World w;
    w.client.write("own/a/x", "0");
    w.client.write("own/b/x", "0");
    const auto tx = w.client.start();
    w.client.write("own/a/x", "1", tx);
    w.client.write("own/a/new/deep", "2", tx);
    w.client.write("own/b/x", "other");
    EXPECT_EQ(w.client.end(tx), "OK");
    EXPECT_EQ(w.client.read("own/a/x"), "1");
    EXPECT_EQ(w.client.read("own/a/new/deep"), "2");
    EXPECT_EQ(w.client.read("own/b/x"), "other");
}

TEST(Transaction, RemoveAndRemakeMerges) {
    World w;
    w.client.write("own/a/old", "0");
    w.client.write("own/b", "0");
    const auto tx = w.client.start();
    w.client.rm("own/a", tx);
    w.client.write("own/a/new", "1", tx);
    w.client.write("own/b", "other"); // forces the merge
    EXPECT_EQ(w.client.end(tx), "OK");
    EXPECT_EQ(w.client.directory("own/a"), nul({"new"}));
    EXPECT_EQ(w.client.read("own/a/new"), "1");
}

TEST(Transaction, EndNeedsTorF) {
    World w;
    const auto tx = w.client.start();
    for (const auto& payload : {std::string{}, nul({""}), nul({"X"}), nul({"TF"}), std::string{"T"}, nul({"T", "T"})})
        EXPECT_EQ(w.client.call(abi::XS_TRANSACTION_END, payload, tx), "!EINVAL");
    EXPECT_EQ(w.client.end(tx), "OK");
    EXPECT_EQ(w.client.call(abi::XS_TRANSACTION_END, nul({"T"}), 0), "!ENOENT");
}

TEST(Transaction, DoesNotNest) {
    World w;
    const auto tx = w.client.start();
    EXPECT_EQ(w.client.call(abi::XS_TRANSACTION_START, nul({""}), tx), "!EBUSY");
    EXPECT_EQ(w.client.call(abi::XS_TRANSACTION_START, nul({""}), 12345), "!ENOENT");
}

TEST(Transaction, BelongsToItsConnection) {
    World w;
    Client other{w.store, guest};
    const auto tx = w.client.start();
    EXPECT_EQ(other.read("own", tx), "!ENOENT");
    EXPECT_EQ(other.end(tx), "!ENOENT");
    EXPECT_EQ(w.client.end(tx), "OK");
}

TEST(Transaction, RightsHoldInside) {
    World w;
    const auto tx = w.client.start();
    EXPECT_EQ(w.client.write("/tool/x", "x", tx), "!EACCES");
    EXPECT_EQ(w.client.end(tx), "OK");
}

// The model: commit succeeds only if re-running the transaction's operations alone, now, would have given the same
// answers; and then the state is the one they leave.
TEST(Transaction, RandomHistoriesAreSerialisable) {
    struct Step {
        std::uint32_t op;
        std::string payload;
        std::string answer;
    };
    std::mt19937 random{20261120};
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    const auto random_path = [&] {
        std::string path = "own";
        for (unsigned depth = 1 + pick(3); depth > 0; --depth)
            path += '/' + std::string(1, static_cast<char>('a' + pick(3)));
        return path;
    };
    const auto random_step = [&]() -> Step {
        switch (pick(6)) {
        case 0:
            return {abi::XS_READ, nul({random_path()}), {}};
        case 1:
            return {abi::XS_DIRECTORY, nul({random_path()}), {}};
        case 2:
            return {abi::XS_RM, nul({random_path()}), {}};
        case 3:
            return {abi::XS_MKDIR, nul({random_path()}), {}};
        case 4:
            return {abi::XS_SET_PERMS, nul({random_path(), pick(2) ? "n1" : "r1"}), {}};
        default:
            return {abi::XS_WRITE, nul({random_path()}) + std::to_string(pick(4)), {}};
        }
    };
    const auto sorted = [](const std::string& names) {
        std::vector<std::string> list;
        for (std::size_t at = 0; at < names.size(); at = names.find('\0', at) + 1)
            list.emplace_back(names.c_str() + at);
        std::sort(list.begin(), list.end());
        return list;
    };
    // The whole tree below `path`, children sorted: their order after a merge is not promised.
    const auto dump = [&](Client& client, const std::string& path, auto&& self) -> std::string {
        std::string text = path + '=' + client.read(path) + ' ' + client.perms(path) + '\n';
        for (const auto& name : sorted(client.directory(path)))
            text += self(client, path + '/' + name, self);
        return text;
    };

    int committed = 0;
    int merged = 0;
    int conflicts = 0;
    World w; // the real one, with two transactions at a time
    World model;
    for (int run = 0; run < 1500; ++run) {
        std::vector<Step> steps[2];
        const std::uint32_t tx[2] = {w.client.start(), w.client.start()};
        for (int i = 0; i < 6; ++i) {
            const unsigned which = pick(2);
            Step step = random_step();
            step.answer = w.client.call(step.op, step.payload, tx[which]);
            steps[which].push_back(step);
        }
        for (const unsigned which : {0u, 1u}) {
            const auto result = w.client.end(tx[which]);
            if (result != "OK") {
                ASSERT_EQ(result, "!EAGAIN");
                ++conflicts;
                ASSERT_EQ(which, 1u) << "nothing came between for the first";
                continue;
            }
            ++committed;
            merged += which == 1;
            for (const Step& step : steps[which]) {
                const auto answer = model.client.call(step.op, step.payload);
                if (step.op == abi::XS_DIRECTORY && !answer.starts_with('!')) {
                    ASSERT_EQ(sorted(answer), sorted(step.answer)) << step.payload;
                } else {
                    ASSERT_EQ(answer, step.answer) << step.op << ' ' << step.payload;
                }
            }
        }
        ASSERT_EQ(dump(w.client, "own", dump), dump(model.client, "own", dump)) << "run " << run;
    }
    EXPECT_GT(committed, 1500);
    EXPECT_GT(merged, 100);
    EXPECT_GT(conflicts, 100);
}

} // namespace
} // namespace parapet::xenstore::test
