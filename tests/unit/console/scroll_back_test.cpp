// SPDX-License-Identifier: Apache-2.0
#include "backends/console/scroll_back.hpp"

#include <gtest/gtest.h>
#include <string>

namespace parapet::console {
namespace {

std::string all(const ScrollBack& said, std::uint64_t from, std::size_t most = 1000) {
    std::string text;
    while (from < said.end()) {
        const auto piece = said.piece(from, most);
        text += piece;
        from += piece.size();
    }
    return text;
}

TEST(ScrollBack, KeepsTheLastBytes) {
    ScrollBack said{10};
    std::string whole;
    for (const char* text : {"abc", "", "defgh", "ij", "k", "lmnopqrst", "uvwxyzABCDEFG", "hi"}) {
        said.append(text);
        whole += text;
        EXPECT_EQ(said.end(), whole.size());
        EXPECT_EQ(said.end() - said.begin(), std::min<std::size_t>(whole.size(), 10));
        for (std::uint64_t from = said.begin(); from <= said.end(); from++) {
            EXPECT_EQ(all(said, from), whole.substr(from));
            EXPECT_EQ(all(said, from, 3), whole.substr(from));
        }
    }
}

TEST(ScrollBack, BeginsAtALine) {
    ScrollBack said{10};
    said.append("ab");
    EXPECT_EQ(said.first_line(), 0U); // nothing was forgotten
    said.append("\ncdefghi\nj");      // "b\ncdefghi\nj", less its first byte
    EXPECT_EQ(all(said, said.first_line()), "cdefghi\nj");
    said.append("0123456789");
    EXPECT_EQ(said.first_line(), said.begin()); // one endless line
}

} // namespace
} // namespace parapet::console
