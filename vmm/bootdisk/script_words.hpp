// SPDX-License-Identifier: Apache-2.0
// Cuts a GRUB script into words and separators.
#pragma once

#include "vmm/bootdisk/script_ast.hpp"

#include <cstddef>
#include <optional>
#include <string_view>

namespace parapet::bootdisk {

struct Token {
    enum class Kind { word, separator, end } kind = Kind::end;
    Word word;

    /// Whether it is this bare word, such as a keyword or a brace.
    [[nodiscard]] bool is(std::string_view text) const;
};

class Lexer {
public:
    explicit Lexer(std::string_view text) : text_{text} {}

    [[nodiscard]] Token next();
    /// 1 for the first line.
    [[nodiscard]] std::size_t line() const { return line_; }
    /// A quote that nothing ends was met.
    [[nodiscard]] bool broken() const { return broken_; }

private:
    [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
    [[nodiscard]] char peek() const { return text_[at_]; }
    char take();
    void skip_blanks();
    Word take_word();
    void take_single_quoted(Word& word);
    void take_double_quoted(Word& word);
    void take_variable(Word& word, bool quoted);

    std::string_view text_;
    std::size_t at_ = 0, line_ = 1;
    bool broken_ = false;
};

} // namespace parapet::bootdisk
