// SPDX-License-Identifier: Apache-2.0
// GRUB's script language, well-formed and hostile.
#include "vmm/bootdisk/script_test.hpp"
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/grub_script.hpp"

#include <gtest/gtest.h>

namespace parapet::bootdisk::test {
namespace {

/// What `$out` is after a script.
std::string out_of(const std::string& script) {
    FakeDisk disk;
    disk.add({"loop0,gpt1", "label one", "abcd", "ext2"},
             {{"/c", script}, {"/both", "x"}, {"/there", "x"}, {"/define_f", "function f { set out=${out}new; }"}});
    disk.add({"loop0,gpt2", "two", "EF01"}, {{"/only/here", "x"}, {"/both", "x"}});
    GrubScript run{disk, {0, "/c"}};
    const auto result = run.run();
    return result ? run.variable("out") : "error: " + result.error().message;
}

TEST(Script, WordsAndQuotes) {
    EXPECT_EQ(out_of("set out=plain"), "plain");
    EXPECT_EQ(out_of("set out='a  $b'"), "a  $b");
    EXPECT_EQ(out_of("b=1\nset out=\"a $b \\$b\""), "a 1 $b");
    EXPECT_EQ(out_of("b=1; set out=x${b}y$b"), "x1y1");
    EXPECT_EQ(out_of("set out=a\\ b # comment"), "a b");
    EXPECT_EQ(out_of("set out=a#b"), "a#b");
    EXPECT_EQ(out_of("set \\\n out=joined"), "joined");
    EXPECT_EQ(out_of("set out=\"two\nlines\""), "two\nlines");
}

TEST(Script, UnquotedValuesAreSplit) {
    EXPECT_EQ(out_of("v='1 2'; set out=none; for i in $v \"$v\" $nothing \"\"; do set out=\"$out,$i\"; done"),
              "none,1,2,1 2,");
}

TEST(Script, Conditions) {
    const std::string ok = "; then set out=yes; else set out=no; fi";
    EXPECT_EQ(out_of("if [ a = a ]" + ok), "yes");
    EXPECT_EQ(out_of("if [ a = b -o -n x ]" + ok), "yes");
    EXPECT_EQ(out_of("if [ a = a -a -z x ]" + ok), "no");
    EXPECT_EQ(out_of("if [ ! -z x ]" + ok), "yes");
    EXPECT_EQ(out_of("if [ \"$nothing\" ]" + ok), "no");
    EXPECT_EQ(out_of("if [ x$nothing = x ]" + ok), "yes");
    EXPECT_EQ(out_of("if [ 10 -gt 9 ]" + ok), "yes");
    EXPECT_EQ(out_of("if [ -f /there ]" + ok), "yes");
    EXPECT_EQ(out_of("if [ -e (hd0,gpt2)/only/here ]" + ok), "yes");
    EXPECT_EQ(out_of("if [ -e (hd0,gpt2)/there ]" + ok), "no");
    EXPECT_EQ(out_of("if test -s /nowhere" + ok), "no");
    EXPECT_EQ(out_of("if false; then set out=1; elif true; then set out=2; else set out=3; fi"), "2");
    EXPECT_EQ(out_of("if loadfont x" + ok), "no");
}

TEST(Script, FunctionsAndTheirArguments) {
    EXPECT_EQ(out_of("function f { set out=\"$1-$2-$#-$@\"; }\nf a 'b c'"), "a-b c-2-a b c");
    EXPECT_EQ(out_of("function f { set out=old; }\nfunction f { set out=new; }\nf\n"), "new");
    EXPECT_EQ(out_of("function f { source /define_f; set out=${out}old; }\nf\nf\n"), "oldnew");
}

TEST(Script, Search) {
    EXPECT_EQ(out_of("search --no-floppy --fs-uuid --set=out --hint=hd0,gpt9 ef01"), "loop0,gpt2");
    EXPECT_EQ(out_of("search -s out --label 'label one'"), "loop0,gpt1");
    EXPECT_EQ(out_of("search --file --set=out /only/here"), "loop0,gpt2");
    EXPECT_EQ(out_of("search.fs_label two out"), "loop0,gpt2");
    EXPECT_EQ(out_of("if search --fs-uuid --set=out nope; then set out=found; fi"), "");
}

/// Which word is the name and which the variable, as GRUB's own parser of options has it.
TEST(Script, SearchInEveryOrderOfWords) {
    const auto root_after = [](const std::string& command) { return out_of(command + "; set out=$root"); };
    for (const char* command :
         {"search --fs-uuid ef01 --set root", "search --fs-uuid ef01 --set", "search -u ef01 -s",
          "search --set --fs-uuid ef01", "search -us root ef01", "search --set=ef01 --fs-uuid",
          "search -n -u -s root -- ef01", "search --hint-new=x --fs-uuid ef01 --set=root",
          "search.fs_uuid ef01 root hd0,gpt1", "search --hint-bios=hd0,gpt1 -u ef01 --set=root"}) {
        EXPECT_EQ(root_after(command), "loop0,gpt2") << command;
    }
    for (const char* command :
         {"search --fs-uuid --set root ef01", // looks for a UUID called root
          "search --set=root ef01",           // by what?
          "search --fs-uuid --set=root --hint hd0 ef01", "search --fs-uuid", "search.fs_uuid ef01",
          "search --no-floppy=x --fs-uuid --set=root ef01", "search --fs-uuid ef01"}) {
        EXPECT_EQ(root_after(command), "loop0,gpt1") << command;
    }
    EXPECT_EQ(out_of("if search --fs-uuid ef01; then set out=found; fi"), "found") << "without a variable";
    EXPECT_EQ(out_of("search --file /both --set=out"), "loop0,gpt1");
    EXPECT_EQ(out_of("search --file /both --set=out --hint=hd0,gpt2"), "loop0,gpt2");
}

TEST(Script, Probe) {
    for (const auto& [options, value] : std::map<std::string, std::string>{{"--fs-uuid --set=out (hd0,gpt2)", "EF01"},
                                                                           {"-u -s out hd0,gpt2", "EF01"},
                                                                           {"--set=out --label $root", "label one"},
                                                                           {"-s out --fs $root", "ext2"},
                                                                           {"--set=out --partmap ($root)", "gpt"},
                                                                           {"--set=out --driver $root", "xen"},
                                                                           {"--set=out --part-uuid $root", "none"}}) {
        EXPECT_EQ(out_of("probe " + options), value) << options;
    }
    for (const char* refused :
         {"probe --set out --fs-uuid hd0,gpt2", "probe --set=out $root", "probe --set=out -x $root",
          "probe --set=out --fs-uuid hd0,gpt7", "probe --set=out --fs-uuid"}) {
        EXPECT_EQ(out_of(std::string{"if "} + refused + "; then out=wrong; fi"), "") << refused;
    }
}

TEST(Script, BlocksOfUnknownCommandsAreNotRun) {
    FakeDisk disk;
    disk.add({"loop0", "", ""},
             {{"/c", "hiddenentry x --hotkey=x { set out=1 }\nanother thing { set out=2 }\nset z=3"}});
    GrubScript run{disk, {0, "/c"}};
    ASSERT_TRUE(run.run());
    EXPECT_EQ(run.variable("out"), "");
    EXPECT_EQ(run.variable("z"), "3");
    ASSERT_EQ(run.notes().size(), 1U);
    EXPECT_NE(run.notes()[0].find("command 'another' with a block"), std::string::npos);
}

TEST(Script, SourcedFiles) {
    FakeDisk disk;
    disk.add({"loop0", "", ""}, {{"/a/c", "source ${config_directory}/d; set out=$out$from_d"}, {"/a/d", "from_d=1"}});
    GrubScript run{disk, {0, "/a/c"}};
    ASSERT_TRUE(run.run());
    EXPECT_EQ(run.variable("out"), "1");
}

TEST(Script, MissingPieces) {
    EXPECT_EQ(out_of("if true; then"), "error: line 1: no command can begin with the end of the file");
    EXPECT_EQ(out_of("if true\nthen x; }"), "error: line 2: 'fi' is missing before '}'");
    EXPECT_EQ(out_of("function f"), "error: line 1: '{' is missing before the end of the file");
    EXPECT_EQ(out_of("set out='x"), "error: line 1: a quotation mark that nothing closes");
    EXPECT_EQ(out_of("set out=${x"), "error: line 1: a '$' without the name of a variable");
    EXPECT_EQ(out_of("a\nb | c"), "error: line 2: '|'");
    EXPECT_EQ(out_of("for"), "error: line 1: a loop cannot be called the end of the line");
}

TEST(Script, EndlessAndHugeOnesEnd) {
    EXPECT_EQ(out_of("function f { f; }\nf"), "error: its functions call each other without end");
    EXPECT_EQ(out_of("v=x\nfunction d { v=$v$v; }\nfor i in 1 2 3 4 5 6 7 8 9 a b c d e f g; do d; done"),
              "error: its variables are too long or too many");
    std::string nested;
    for (int i = 0; i < 12; i++) {
        nested += "for i in 1 2 3 4 5 6 7 8 9; do ";
    }
    nested += "x=1;";
    for (int i = 0; i < 12; i++) {
        nested += " done;";
    }
    EXPECT_EQ(out_of(nested), "error: it does not come to an end");
    EXPECT_EQ(out_of("while true; do x=1; done; set out=on"), "on") << "never carried out";
    std::string deep;
    for (int i = 0; i < 5000; i++) {
        deep += "if true; then ";
    }
    EXPECT_EQ(out_of(deep), "error: line 1: nested too deeply");
    EXPECT_EQ(out_of("source /c"), "error: its functions call each other without end");
}

} // namespace
} // namespace parapet::bootdisk::test
