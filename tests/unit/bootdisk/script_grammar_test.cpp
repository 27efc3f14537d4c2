// SPDX-License-Identifier: Apache-2.0
// Which scripts are taken and which refused, at which line: compared with Debian's grub-script-check.
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/script_ast.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <unistd.h>

namespace parapet::bootdisk::test {
namespace {

/// "" where the script is taken, "line N" where not.
std::string our_verdict(const std::string& script) {
    const auto tree = parse_script(script);
    return tree ? std::string{} : tree.error().message.substr(0, tree.error().message.find(':'));
}

class Reference : public testing::Test {
protected:
    Reference() {
        char name[] = "/tmp/bootdisk-grammar.XXXXXX";
        folder_ = mkdtemp(name);
    }
    ~Reference() override { std::filesystem::remove_all(folder_); }
    void SetUp() override {
        if (std::system("grub-script-check --version >/dev/null 2>&1") != 0) {
            GTEST_SKIP() << "no grub-script-check here (package grub-common)";
        }
    }

    /// The reference runs once over many files: each costs a process, but no shell.
    std::vector<std::string> reference_verdicts(const std::vector<std::string>& scripts) {
        for (std::size_t i = 0; i < scripts.size(); i++) {
            std::ofstream{folder_ + "/" + std::to_string(i), std::ios::binary} << scripts[i];
        }
        const std::string command = "cd " + folder_ + " && i=0; while [ $i -lt " + std::to_string(scripts.size()) +
                                    " ]; do LC_ALL=C grub-script-check $i 2>&1 | sed -n "
                                    "'s/^Syntax error at //p' | tr -d '\\n'; echo; i=$((i+1)); done";
        std::unique_ptr<FILE, int (*)(FILE*)> pipe{popen(command.c_str(), "r"), pclose};
        std::vector<std::string> verdicts(1);
        for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) {
            if (c == '\n') {
                verdicts.emplace_back();
            } else {
                verdicts.back().push_back(static_cast<char>(c));
            }
        }
        verdicts.pop_back();
        return verdicts;
    }

    void compare(const std::vector<std::string>& scripts) {
        const auto expected = reference_verdicts(scripts);
        ASSERT_EQ(expected.size(), scripts.size());
        for (std::size_t i = 0; i < scripts.size(); i++) {
            EXPECT_EQ(our_verdict(scripts[i]), expected[i]) << "of the script\n" << scripts[i];
        }
    }

    std::string folder_;
};

TEST_F(Reference, Chosen) {
    compare({
        // Blocks
        "menuentry 'x' { linux /k }",
        "menuentry 'x' {\n linux /k }",
        "menuentry 'x' { linux /k; }",
        "menuentry 'x' { linux /k;\n\n}",
        "menuentry x{linux /k}",
        "menuentry x { }",
        "menuentry x {\n}",
        "menuentry x { a; } y",
        "menuentry x { a; } ; y",
        "menuentry x\n{ a; }",
        "submenu x { menuentry y { linux /k } }",
        "submenu x { menuentry y { linux /k } menuentry z { linux /k } }",
        "hiddenentry x { linux /k }",
        "anything at all { linux /k }",
        "{ a; }",
        "a } b",
        "a { b",
        "a ${b} { c }",
        "a{b}",
        "a { b { c { d } } }",
        // Separators
        "",
        "\n\n",
        ";",
        "a;",
        "a; ; b",
        "a;; b",
        "a;\n\nb",
        "a\n;b",
        "a | b",
        "a & b",
        "a && b",
        "a < b",
        "a > b",
        "a\nb |\nc",
        "a\r\nb\r\n",
        // Conditions
        "if a; then b; fi",
        "if a\nthen\nb\nfi",
        "if a; then b; else c; fi",
        "if a; then b; elif c; then d; else e; fi",
        "if a; then b; elif c; then d; fi; x",
        "if a; then b fi",
        "if a then b; fi",
        "if a; then; b; fi",
        "if a; then fi",
        "if a; then b; else fi",
        "if a; then b; fi c",
        "if a; then b; fi }",
        "if; then b; fi",
        "if a; then b;",
        "if",
        "if a",
        "if ! a; then b; fi",
        "if a; b; then c; fi",
        "if if a; then b; fi; then c; fi",
        "if [ a = b -o c = d ]; then e; fi",
        "if [[ a ]]; then b; fi",
        "]] a",
        "a [[x]]",
        "a [[ x",
        "then",
        "fi",
        "else",
        "done; a",
        "case a in b; esac",
        "select",
        "echo if then else fi for in do done while until function case esac select",
        // Loops
        "for i in a b; do c; done",
        "for i in; do c; done",
        "for i in a b\ndo\nc\ndone",
        "for i in a b do c; done",
        "for i; do c; done",
        "for 'i' in a; do c; done",
        "for $i in a; do c; done",
        "for i-j in a; do c; done",
        "for in in a; do c; done",
        "for i in a; do c; done; d",
        "for i\nin a; do c; done",
        "for",
        "while a; do b; done",
        "until a\ndo\nb\ndone",
        "while a; b; do c; done",
        "while a; do done",
        "while; do b; done",
        // Functions
        "function f { a; }",
        "function f { a }",
        "function f { a\n}",
        "function f\n\n{\na\n}",
        "function f ; { a; }",
        "function f { }",
        "function f-g { a; }",
        "function if { a; }",
        "function 'f' { a; }",
        "function f a { b; }",
        "function f { function g { a; }; }",
        "if a; then function g { b; }; fi",
        "function f { a; } b",
        "function f { a; }; b",
        "function",
        "function f",
        // Words, quotes and variables
        "a 'b\nc' d",
        "a \"b\nc\" d",
        "a 'b",
        "a\nb \"c\nd",
        "a \"b\\\"c\"",
        "a 'b\\' c",
        "a 'b'\"c\"d$e'f'",
        "a $",
        "a $ b",
        "a $b$",
        "a \"$\"",
        "a \"$ \"",
        "a \"\\$ \"",
        "a ${b",
        "a ${}",
        "a ${b-c}",
        "a ${1} $12 $1b $? $# $* $@ ${@}",
        "a \"${b c}\"",
        "a '$'",
        "a $\"translated $ text\"",
        "a $\"open",
        "$a b",
        "${a} b",
        "\"a\" b",
        "'if' a",
        "\\if a",
        "i\\f a; then b; fi",
        "a \\\nb",
        "a\\\nb c",
        "if a; \\\nthen b; fi",
        "if a;\\\n then b; fi",
        "i\\\nf a; then b; fi",
        "a \\",
        "a\\",
        "a=b",
        "a='b c'",
        "# only this",
        "#it's one line",
        "a # it's\nb",
        "a#b 'c'",
        "a ;# c\nb",
        "# a \\\nif",
        "if a # c\nthen b # d }\nfi",
        std::string{"a\0| b\nc", 7},
        std::string{"a '\0' b\nc' d", 12},
        "a\tb\t{\tc\t}",
        "! a",
        "[ a ]",
        "a,b (c)/d *?",
    });
}

TEST_F(Reference, Configurations) {
    std::vector<std::string> scripts;
    for (const char* name :
         {"alpine.cfg", "arch.cfg", "debian-xen.cfg", "debian.cfg", "fedora.cfg", "suse.cfg", "ubuntu.cfg"}) {
        scripts.push_back(corpus(name));
        // A line too many or too few makes most of them wrong, somewhere.
        std::string cut = corpus(name);
        const std::size_t line = cut.find('\n', cut.size() / 3);
        cut.erase(line, cut.find('\n', line + 1) - line);
        scripts.push_back(cut);
        scripts.push_back(corpus(name).substr(0, cut.size() * 2 / 3));
    }
    compare(scripts);
}

/// Scripts put together at random out of pieces that matter, the same in each run.
TEST_F(Reference, PutTogetherAtRandom) {
    static constexpr const char* pieces[] = {"a",           " b",        "; ",           ";",
                                             "\n",          " { ",       " }",           " } ",
                                             "if a; then ", " fi",       "; fi",         "; else ",
                                             "'q'",         "\"$v\"",    "$v ",          "\\\n",
                                             "# c\n",       "for i in ", "; do ",        "; done",
                                             "done",        "do ",       "function f {", "while a",
                                             " elif ",      " then ",    "x=1 ",         "menuentry t { ",
                                             " $",          "'",         "\"",           "\\",
                                             "| ",          "[[ ",       "\t",           "!"};
    // Each costs a process; by hand with more: PARAPET_GRAMMAR_ROUNDS=5000.
    const char* given = std::getenv("PARAPET_GRAMMAR_ROUNDS");
    const int rounds = given != nullptr ? std::atoi(given) : 100;
    std::mt19937 random{20261130};
    std::vector<std::string> scripts;
    for (int i = 0; i < rounds; i++) {
        std::string script;
        for (auto length = 2 + random() % 9; length > 0; length--) {
            script += pieces[random() % std::size(pieces)];
        }
        scripts.push_back(script);
    }
    compare(scripts);
}

} // namespace
} // namespace parapet::bootdisk::test
