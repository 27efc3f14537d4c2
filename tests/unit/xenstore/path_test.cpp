// SPDX-License-Identifier: Apache-2.0
// Paths, permissions and domain numbers as text.
#include "iorings/xenstore/path.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore {
namespace {

TEST(Path, CanonicalOnes) {
    for (const char* path : {"/", "/a", "/a/b", "/local/domain/0/x-y_z@1", "/A/9"})
        EXPECT_TRUE(is_canonical(path)) << path;
}

TEST(Path, MalformedOnes) {
    for (const char* path : {"", "a", "//", "/a/", "/a//b", "/a b", "/a.b", "/a\n", "/\xc3\xa4", "@x", "/a+b", "/a:"})
        EXPECT_FALSE(is_canonical(path)) << path;
    EXPECT_FALSE(is_canonical(std::string_view{"/a\0b", 4}));
}

TEST(Path, LengthLimits) {
    EXPECT_TRUE(is_canonical('/' + std::string(3071, 'a')));
    EXPECT_FALSE(is_canonical('/' + std::string(3072, 'a')));
    EXPECT_TRUE(canonical_path(DomId{1}, std::string(2048, 'a')).ok());
    EXPECT_EQ(canonical_path(DomId{1}, std::string(2049, 'a')).error(), Errno::EINVAL_);
}

TEST(Path, RelativeToItsDomain) {
    EXPECT_EQ(*canonical_path(DomId{7}, "a/b"), "/local/domain/7/a/b");
    EXPECT_EQ(*canonical_path(DomId{7}, "/a/b"), "/a/b");
    EXPECT_FALSE(canonical_path(DomId{7}, "").ok());
    EXPECT_FALSE(canonical_path(DomId{7}, "a/").ok());
    EXPECT_FALSE(canonical_path(DomId{7}, "../8").ok());
}

TEST(Path, ParentsAndNames) {
    EXPECT_EQ(parent_path("/a/b"), "/a");
    EXPECT_EQ(parent_path("/a"), "/");
    EXPECT_EQ(parent_path("/"), "/");
    EXPECT_EQ(base_name("/a/b"), "b");
    EXPECT_TRUE(is_at_or_below("/a", "/a"));
    EXPECT_TRUE(is_at_or_below("/a", "/a/b"));
    EXPECT_TRUE(is_at_or_below("/", "/a"));
    EXPECT_FALSE(is_at_or_below("/a", "/ab"));
    EXPECT_FALSE(is_at_or_below("/a/b", "/a"));
    EXPECT_FALSE(is_at_or_below("/", "@releaseDomain"));
}

TEST(Permission, TextForm) {
    EXPECT_EQ(to_string({DomId{5}, Access::Both}), "b5");
    EXPECT_EQ(to_string({domain0, Access::None}), "n0");
    for (const char* text : {"n0", "r1", "w2", "b32751"})
        EXPECT_EQ(to_string(*parse_permission(text)), text);
    for (const char* text : {"", "r", "x1", "1", "r1 ", "r-1", "r32752", "r99999999999", "rr1", "R1"})
        EXPECT_EQ(parse_permission(text).error(), Errno::EINVAL_) << text;
}

TEST(Permission, Evaluation) {
    const Permissions list{{DomId{1}, Access::Read}, {DomId{2}, Access::Write}, {DomId{3}, Access::None}};
    EXPECT_TRUE(allows(list, domain0, Access::Both));
    EXPECT_TRUE(allows(list, DomId{1}, Access::Both)) << "the owner may do all";
    EXPECT_TRUE(allows(list, DomId{2}, Access::Write));
    EXPECT_FALSE(allows(list, DomId{2}, Access::Read)) << "an own entry replaces the default";
    EXPECT_FALSE(allows(list, DomId{3}, Access::Read));
    EXPECT_TRUE(allows(list, DomId{4}, Access::Read)) << "the first entry is the default";
    EXPECT_FALSE(allows(list, DomId{4}, Access::Write));
    EXPECT_FALSE(allows({}, DomId{4}, Access::Read));
}

TEST(DomainNumber, OnlyRealOnes) {
    EXPECT_EQ(*parse_domid("0"), domain0);
    EXPECT_EQ(*parse_domid("32751"), DomId{32751});
    EXPECT_FALSE(parse_domid("32752").ok());
    EXPECT_EQ(*parse_domid("32752", true), domid_self);
    for (const char* text : {"", " 1", "1 ", "x", "+1", "-1", "0x1", "70000"})
        EXPECT_FALSE(parse_domid(text, true).ok()) << text;
}

} // namespace
} // namespace parapet::xenstore
