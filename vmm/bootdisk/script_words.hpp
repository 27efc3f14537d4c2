// SPDX-License-Identifier: Apache-2.0
// Cuts a GRUB script into tokens, as GRUB's lexer does (checked against grub-script-check by script_grammar_test).
#pragma once

#include "vmm/bootdisk/script_ast.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace parapet::bootdisk {

struct Token {
    enum class Kind {
        word,
        newline,
        semicolon,
        open_brace,
        close_brace,
        bad, ///< what no command can contain: | & < > ;; [[ ]], a $ without a name, an open quotation
        end
    } kind = Kind::end;
    std::size_t line = 1;    ///< where it ends, 1 for the first
    std::string complaint{}; ///< of a bad one
    Word word{};
    bool continued = false; ///< over the end of a line: then it is never a keyword

    /// Whether it is this bare word, such as a keyword.
    [[nodiscard]] bool is(std::string_view text) const;
    /// A bare word of letters, digits and underscores that is no keyword: what a function or loop variable may be
    /// called.
    [[nodiscard]] bool is_name() const;
    [[nodiscard]] bool is_keyword() const;
    /// What a message calls it.
    [[nodiscard]] std::string shown() const;
};

class Lexer {
public:
    explicit Lexer(std::string_view text);

    [[nodiscard]] Token next();

private:
    [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
    [[nodiscard]] char peek() const { return text_[at_]; }
    [[nodiscard]] bool follows(std::string_view text) const {
        return std::string_view{text_}.substr(at_).starts_with(text);
    }
    void skip_blanks();
    Token operator_token();
    Token word_token();
    void take_escape(Token& token);
    void take_single_quoted(Word& word);
    void take_double_quoted(Word& word);
    void take_translated(Word& word);
    void take_variable(Word& word, bool quoted);
    [[nodiscard]] std::string variable_name();
    void complain(const char* what);

    std::string text_; ///< with a newline at its end
    std::size_t at_ = 0, line_ = 1, counted_ = 0;
    std::string complaint_;
};

} // namespace parapet::bootdisk
