// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/script_words.hpp"

namespace parapet::bootdisk {
namespace {

bool name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool ends_word(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '|' || c == '&' || c == '<' || c == '>';
}

void append(Word& word, char c, bool quoted) {
    if (word.empty() || word.back().kind != WordPart::Kind::text || word.back().quoted != quoted) {
        word.push_back({WordPart::Kind::text, quoted, {}});
    }
    word.back().text.push_back(c);
}

} // namespace

bool Token::is(std::string_view text) const {
    return kind == Kind::word && word.size() == 1 && word[0].kind == WordPart::Kind::text && !word[0].quoted &&
           word[0].text == text;
}

char Lexer::take() {
    const char c = text_[at_++];
    line_ += c == '\n' ? 1 : 0;
    return c;
}

void Lexer::skip_blanks() {
    while (!at_end()) {
        const char c = peek();
        const bool continued = c == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n';
        if (continued) {
            take();
            take();
        } else if (c == ' ' || c == '\t' || c == '\r') {
            take();
        } else if (c == '#') {
            while (!at_end() && peek() != '\n') {
                take();
            }
        } else {
            return;
        }
    }
}

Token Lexer::next() {
    skip_blanks();
    if (at_end()) {
        return {};
    }
    // Pipes and redirections mean nothing to GRUB either; they end a command.
    if (ends_word(peek())) {
        take();
        return {Token::Kind::separator, {}};
    }
    return {Token::Kind::word, take_word()};
}

Word Lexer::take_word() {
    Word word;
    while (!at_end() && !ends_word(peek())) {
        const char c = take();
        if (c == '\'') {
            take_single_quoted(word);
        } else if (c == '"') {
            take_double_quoted(word);
        } else if (c == '$') {
            take_variable(word, false);
        } else if (c == '\\') {
            if (!at_end()) {
                const char next = take();
                if (next != '\n') {
                    append(word, next, true);
                }
            }
        } else {
            append(word, c, false);
        }
    }
    return word;
}

void Lexer::take_single_quoted(Word& word) {
    word.push_back({WordPart::Kind::text, true, {}});
    while (!at_end()) {
        const char c = take();
        if (c == '\'') {
            return;
        }
        append(word, c, true);
    }
    broken_ = true;
}

void Lexer::take_double_quoted(Word& word) {
    word.push_back({WordPart::Kind::text, true, {}});
    while (!at_end()) {
        const char c = take();
        if (c == '"') {
            return;
        }
        if (c == '$') {
            take_variable(word, true);
        } else if (c == '\\' && !at_end() && (peek() == '"' || peek() == '\\' || peek() == '$' || peek() == '\n')) {
            const char next = take();
            if (next != '\n') {
                append(word, next, true);
            }
        } else {
            append(word, c, true);
        }
    }
    broken_ = true;
}

void Lexer::take_variable(Word& word, bool quoted) {
    std::string name;
    if (!at_end() && peek() == '{') {
        take();
        while (!at_end() && peek() != '}' && peek() != '\n') {
            name.push_back(take());
        }
        if (at_end() || take() != '}') {
            broken_ = true;
        }
    } else if (!at_end() && (peek() == '@' || peek() == '*' || peek() == '#' || peek() == '?')) {
        name.push_back(take());
    } else {
        while (!at_end() && name_character(peek())) {
            name.push_back(take());
        }
    }
    if (name.empty()) {
        append(word, '$', quoted);
    } else {
        word.push_back({WordPart::Kind::variable, quoted, name});
    }
}

} // namespace parapet::bootdisk
