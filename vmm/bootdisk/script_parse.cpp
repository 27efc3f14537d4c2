// SPDX-License-Identifier: Apache-2.0
// Recursive descent over the tokens of a GRUB script; how deep and how much is bounded. It takes what GRUB's grammar
// takes and no more: what grub-script-check refuses is refused with the line that it names.
#include "vmm/bootdisk/script_words.hpp"

#include <initializer_list>
#include <utility>

namespace parapet::bootdisk {
namespace {

constexpr unsigned max_depth = 60;
constexpr std::size_t max_statements = 50000;

using Kind = Token::Kind;

class Parser {
public:
    explicit Parser(std::string_view text) : lexer_{text} { advance(); }

    Result<std::shared_ptr<const Block>> script() {
        auto block = std::make_shared<Block>();
        skip_newlines();
        while (failure_.empty() && token_.kind != Kind::end) {
            add_to(*block, token_.is("function") ? parse_function() : parse_command());
            // Two separators in a row are one too many.
            if (token_.kind != Kind::newline && token_.kind != Kind::semicolon) {
                fail_at_token("a command that is not ended before ");
            }
            advance();
            skip_newlines();
        }
        if (!failure_.empty()) {
            return Error{"line " + std::to_string(failure_line_) + ": " + failure_};
        }
        return std::shared_ptr<const Block>{std::move(block)};
    }

private:
    void advance() {
        if (failure_.empty()) {
            token_ = lexer_.next();
        }
    }
    void fail(std::string reason) {
        if (failure_.empty()) {
            failure_ = std::move(reason);
            failure_line_ = token_.line;
        }
    }
    void fail_at_token(const char* before) {
        fail(token_.kind == Kind::bad ? token_.shown() : before + token_.shown());
    }
    void skip_newlines() {
        while (failure_.empty() && token_.kind == Kind::newline) {
            advance();
        }
    }
    /// One separator and empty lines after it.
    bool skip_delimiters() {
        const bool there = token_.kind == Kind::newline || token_.kind == Kind::semicolon;
        if (there) {
            advance();
            skip_newlines();
        }
        return there;
    }
    void expect(std::string_view word) {
        if (failure_.empty() && !token_.is(word)) {
            fail(token_.kind == Kind::bad ? token_.shown()
                                          : "'" + std::string{word} + "' is missing before " + token_.shown());
        }
        advance();
    }
    void expect(Kind kind, const char* name) {
        if (failure_.empty() && token_.kind != kind) {
            fail(token_.kind == Kind::bad ? token_.shown()
                                          : "'" + std::string{name} + "' is missing before " + token_.shown());
        }
        advance();
    }
    void add_to(Block& block, Statement statement) {
        if (++statements_ > max_statements) {
            fail("too long");
        }
        block.push_back(std::move(statement));
    }

    /// At least one command. Stops where no command can begin; `delimited_` then says whether a separator was before
    /// it.
    std::shared_ptr<const Block> commands() {
        auto block = std::make_shared<Block>();
        if (++depth_ > max_depth) {
            fail("nested too deeply");
        }
        skip_newlines();
        do {
            add_to(*block, parse_command());
            delimited_ = skip_delimiters();
        } while (failure_.empty() && delimited_ && begins_command());
        depth_--;
        return block;
    }
    /// Commands, a separator, and then this word.
    std::shared_ptr<const Block> commands_before(std::string_view word) {
        auto block = commands();
        if (!delimited_) {
            fail_at_token("a command that is not ended before ");
        }
        if (!word.empty()) {
            expect(word);
        }
        return block;
    }

    [[nodiscard]] bool begins_command() const {
        return token_.kind == Kind::word && (!token_.is_keyword() || token_.is("if") || token_.is("for") ||
                                             token_.is("while") || token_.is("until"));
    }

    Statement parse_command() {
        if (!failure_.empty() || !begins_command()) {
            fail_at_token("no command can begin with ");
            return {};
        }
        if (token_.is("if")) {
            return parse_if();
        }
        if (token_.is("for")) {
            return parse_for();
        }
        if (token_.is("while") || token_.is("until")) {
            return parse_while();
        }
        Statement statement{Statement::Kind::command, {}, {}};
        take_words(statement);
        if (token_.kind == Kind::open_brace) {
            advance();
            statement.blocks.push_back(commands());
            expect(Kind::close_brace, "}");
        }
        return statement;
    }

    Statement parse_if() {
        Statement statement{Statement::Kind::branch, {}, {}};
        do {
            advance(); // if, elif
            statement.blocks.push_back(commands_before("then"));
            statement.blocks.push_back(commands_before({}));
        } while (failure_.empty() && token_.is("elif"));
        if (token_.is("else")) {
            advance();
            statement.blocks.push_back(commands_before({}));
        }
        expect("fi");
        return statement;
    }

    Statement parse_for() {
        Statement statement{Statement::Kind::loop, {}, {}};
        advance();
        take_name(statement, "a loop");
        expect("in");
        take_words(statement);
        if (!skip_delimiters()) {
            fail_at_token("';' is missing before ");
        }
        expect("do");
        statement.blocks.push_back(commands_before("done"));
        return statement;
    }

    Statement parse_while() {
        advance();
        (void)commands_before("do");
        (void)commands_before("done");
        return {Statement::Kind::skipped, {}, {}};
    }

    Statement parse_function() {
        Statement statement{Statement::Kind::function, {}, {}};
        advance();
        take_name(statement, "a function");
        skip_newlines();
        expect(Kind::open_brace, "{");
        statement.blocks.push_back(commands_before({}));
        expect(Kind::close_brace, "}");
        return statement;
    }

    void take_name(Statement& statement, const char* of_what) {
        if (!token_.is_name()) {
            fail(of_what + (" cannot be called " + token_.shown()));
            return;
        }
        statement.words.push_back(token_.word);
        advance();
    }
    void take_words(Statement& statement) {
        while (token_.kind == Kind::word && failure_.empty()) {
            statement.words.push_back(std::move(token_.word));
            advance();
        }
    }

    Lexer lexer_;
    Token token_;
    unsigned depth_ = 0;
    bool delimited_ = false;
    std::size_t statements_ = 0, failure_line_ = 0;
    std::string failure_;
};

} // namespace

Result<std::shared_ptr<const Block>> parse_script(std::string_view text) {
    return Parser{text}.script();
}

} // namespace parapet::bootdisk
