// SPDX-License-Identifier: Apache-2.0
// Recursive descent over the words of a GRUB script; how deep and how much is bounded.
#include "vmm/bootdisk/script_words.hpp"

#include <initializer_list>
#include <utility>

namespace parapet::bootdisk {
namespace {

constexpr unsigned max_depth = 40;
constexpr std::size_t max_statements = 50000;

class Parser {
public:
    explicit Parser(std::string_view text) : lexer_{text} { advance(); }

    Result<std::shared_ptr<const Block>> script() {
        auto block = std::make_shared<Block>();
        parse_block(*block, {});
        if (lexer_.broken()) {
            fail("a quotation mark or brace that nothing closes");
        }
        if (!failure_.empty()) {
            return Error{"line " + std::to_string(lexer_.line()) + ": " + failure_};
        }
        return std::shared_ptr<const Block>{std::move(block)};
    }

private:
    using Terminators = std::initializer_list<std::string_view>;

    void advance() { token_ = lexer_.next(); }
    void fail(std::string reason) {
        if (failure_.empty()) {
            failure_ = std::move(reason);
        }
    }
    [[nodiscard]] bool at(Terminators words) const {
        for (const std::string_view word : words) {
            if (token_.is(word)) {
                return true;
            }
        }
        return false;
    }
    void expect(std::string_view word) {
        if (failure_.empty() && !token_.is(word)) {
            fail("'" + std::string{word} + "' is missing");
        }
        advance();
    }

    /// Statements up to one of the terminators, which stays; without any, to the end of the text.
    void parse_block(Block& block, Terminators terminators) {
        if (++depth_ > max_depth) {
            fail("nested too deeply");
        }
        while (failure_.empty()) {
            while (token_.kind == Token::Kind::separator) {
                advance();
            }
            if (token_.kind == Token::Kind::end) {
                if (terminators.size() != 0) {
                    fail("'" + std::string{*terminators.begin()} + "' is missing at the end");
                }
                break;
            }
            if (at(terminators)) {
                break;
            }
            if (++statements_ > max_statements) {
                fail("too long");
                break;
            }
            block.push_back(parse_statement());
        }
        depth_--;
    }

    std::shared_ptr<const Block> sub_block(Terminators terminators) {
        auto block = std::make_shared<Block>();
        parse_block(*block, terminators);
        return block;
    }

    Statement parse_statement() {
        if (token_.is("if")) {
            return parse_if();
        }
        if (token_.is("for")) {
            return parse_for();
        }
        if (at({"while", "until"})) {
            return parse_while();
        }
        if (token_.is("function")) {
            return parse_function();
        }
        return parse_command();
    }

    Statement parse_if() {
        Statement statement{Statement::Kind::branch, {}, {}};
        do {
            advance(); // if, elif
            statement.blocks.push_back(sub_block({"then"}));
            expect("then");
            statement.blocks.push_back(sub_block({"fi", "else", "elif"}));
        } while (failure_.empty() && token_.is("elif"));
        if (token_.is("else")) {
            advance();
            statement.blocks.push_back(sub_block({"fi"}));
        }
        expect("fi");
        return statement;
    }

    Statement parse_for() {
        Statement statement{Statement::Kind::loop, {}, {}};
        advance();
        take_words(statement);
        skip_separators();
        expect("do");
        statement.blocks.push_back(sub_block({"done"}));
        expect("done");
        if (statement.words.empty()) {
            fail("'for' without a variable");
        }
        return statement;
    }

    Statement parse_while() {
        advance();
        (void)sub_block({"do"});
        expect("do");
        (void)sub_block({"done"});
        expect("done");
        return {Statement::Kind::skipped, {}, {}};
    }

    Statement parse_function() {
        Statement statement{Statement::Kind::function, {}, {}};
        advance();
        if (token_.kind != Token::Kind::word) {
            fail("a function without a name");
            return statement;
        }
        statement.words.push_back(token_.word);
        advance();
        skip_separators();
        expect("{");
        statement.blocks.push_back(sub_block({"}"}));
        expect("}");
        return statement;
    }

    Statement parse_command() {
        Statement statement{Statement::Kind::command, {}, {}};
        const bool has_block = at({"menuentry", "submenu"});
        while (token_.kind == Token::Kind::word && failure_.empty()) {
            if (has_block && token_.is("{")) {
                advance();
                statement.blocks.push_back(sub_block({"}"}));
                expect("}");
                break;
            }
            statement.words.push_back(std::move(token_.word));
            advance();
        }
        return statement;
    }

    void take_words(Statement& statement) {
        while (token_.kind == Token::Kind::word) {
            statement.words.push_back(std::move(token_.word));
            advance();
        }
    }
    void skip_separators() {
        while (token_.kind == Token::Kind::separator) {
            advance();
        }
    }

    Lexer lexer_;
    Token token_;
    unsigned depth_ = 0;
    std::size_t statements_ = 0;
    std::string failure_;
};

} // namespace

Result<std::shared_ptr<const Block>> parse_script(std::string_view text) {
    return Parser{text}.script();
}

} // namespace parapet::bootdisk
