// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/script_words.hpp"

#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>

namespace parapet::bootdisk {
namespace {

constexpr std::string_view keywords[] = {"case", "do", "done",   "elif", "else",  "esac",  "fi",      "for",
                                         "if",   "in", "select", "then", "until", "while", "function"};

bool digit(char c) {
    return c >= '0' && c <= '9';
}
bool name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool name_character(char c) {
    return name_start(c) || digit(c);
}

/// Ends a word wherever it stands unquoted; "x{" and "x}" are two tokens.
bool ends_word(char c) {
    return std::string_view{" \n;|&<>{}"}.find(c) != std::string_view::npos;
}

void append(Word& word, char c, bool quoted) {
    if (word.empty() || word.back().kind != WordPart::Kind::text || word.back().quoted != quoted) {
        word.push_back({WordPart::Kind::text, quoted, {}});
    }
    word.back().text.push_back(c);
}

/// As GRUB reads a file: lines end at a NUL, tabs and carriage returns are blanks even within quotes.
std::string as_read(std::string_view text) {
    std::string result;
    result.reserve(text.size() + 1);
    bool cut = false;
    for (const char c : text) {
        cut = (cut || c == '\0') && c != '\n';
        if (!cut) {
            result.push_back(c == '\t' || c == '\r' ? ' ' : c);
        }
    }
    if (!result.ends_with('\n') && !result.empty()) {
        result.push_back('\n');
    }
    return result;
}

} // namespace

bool Token::is(std::string_view text) const {
    return kind == Kind::word && !continued && word.size() == 1 && word[0].kind == WordPart::Kind::text &&
           !word[0].quoted && word[0].text == text;
}

bool Token::is_keyword() const {
    return std::any_of(std::begin(keywords), std::end(keywords), [&](std::string_view text) { return is(text); });
}

bool Token::is_name() const {
    if (kind != Kind::word || continued || word.size() != 1 || word[0].kind != WordPart::Kind::text || word[0].quoted ||
        is_keyword()) {
        return false;
    }
    const std::string& text = word[0].text;
    return !text.empty() && name_start(text[0]) && std::all_of(text.begin(), text.end(), name_character);
}

std::string Token::shown() const {
    switch (kind) {
    case Kind::newline:
        return "the end of the line";
    case Kind::semicolon:
        return "';'";
    case Kind::open_brace:
        return "'{'";
    case Kind::close_brace:
        return "'}'";
    case Kind::bad:
        return complaint;
    case Kind::end:
        return "the end of the file";
    case Kind::word:
        break;
    }
    return "'" + printable(word.empty() ? "" : word[0].text, 40) + "'";
}

Lexer::Lexer(std::string_view text) : text_{as_read(text)} {}

void Lexer::complain(const char* what) {
    if (complaint_.empty()) {
        complaint_ = what;
    }
}

void Lexer::skip_blanks() {
    while (!at_end() && (peek() == ' ' || peek() == '#')) {
        at_ = peek() == ' ' ? at_ + 1 : std::min(text_.find('\n', at_), text_.size());
    }
}

Token Lexer::next() {
    skip_blanks();
    Token token = at_end() ? Token{} : operator_token();
    if (token.kind == Token::Kind::end && !at_end()) {
        token = word_token();
    }
    // The newline that ends the token belongs to its line, as the next character does not.
    const std::size_t last = at_ == 0 ? 0 : at_ - 1;
    line_ += static_cast<std::size_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(counted_),
                                                 text_.begin() + static_cast<std::ptrdiff_t>(std::max(counted_, last)),
                                                 '\n'));
    counted_ = std::max(counted_, last);
    token.line = line_;
    return token;
}

/// A token of kind `end`: here is a word.
Token Lexer::operator_token() {
    Token token;
    switch (peek()) {
    case '\n':
        token.kind = Token::Kind::newline;
        break;
    case ';':
        token.kind = follows(";;") ? Token::Kind::bad : Token::Kind::semicolon;
        token.complaint = "';;'";
        break;
    case '{':
        token.kind = Token::Kind::open_brace;
        break;
    case '}':
        token.kind = Token::Kind::close_brace;
        break;
    case '|':
    case '&':
    case '<':
    case '>':
        token.kind = Token::Kind::bad;
        token.complaint = std::string{"'"} + peek() + "'";
        break;
    default:
        return token;
    }
    at_++;
    return token;
}

Token Lexer::word_token() {
    Token token;
    token.kind = Token::Kind::word;
    complaint_.clear();
    while (complaint_.empty() && !at_end() && !ends_word(peek())) {
        const char c = text_[at_++];
        if (c == '\'') {
            take_single_quoted(token.word);
        } else if (c == '"') {
            take_double_quoted(token.word);
        } else if (c == '$' && !at_end() && peek() == '"') {
            at_++;
            take_translated(token.word);
        } else if (c == '$') {
            take_variable(token.word, false);
        } else if (c == '\\') {
            take_escape(token);
        } else {
            append(token.word, c, false);
        }
    }
    if (complaint_.empty() && (token.is("[[") || token.is("]]"))) {
        complaint_ = "'" + token.word[0].text + "'";
    }
    if (!complaint_.empty()) {
        token.kind = Token::Kind::bad;
        token.complaint = complaint_;
    }
    return token;
}

void Lexer::take_escape(Token& token) {
    const char c = text_[at_++]; // there is one: the text ends with a newline
    if (c != '\n') {
        append(token.word, c, true);
        return;
    }
    token.continued = true;
    if (at_end()) {
        complain("a '\\' at the end of the file");
    }
}

void Lexer::take_single_quoted(Word& word) {
    word.push_back({WordPart::Kind::text, true, {}});
    while (!at_end()) {
        const char c = text_[at_++];
        if (c == '\'') {
            return;
        }
        append(word, c, true);
    }
    complain("a quotation mark that nothing closes");
}

void Lexer::take_double_quoted(Word& word) {
    word.push_back({WordPart::Kind::text, true, {}});
    while (!at_end()) {
        const char c = text_[at_++];
        if (c == '"') {
            return;
        }
        if (c == '$') {
            take_variable(word, true);
        } else if (c == '\\' && !at_end()) {
            const char next = text_[at_++];
            if (std::string_view{"\"\\$\n"}.find(next) == std::string_view::npos) {
                append(word, c, true);
            }
            if (next != '\n') {
                append(word, next, true);
            }
        } else {
            append(word, c, true);
        }
    }
    complain("a quotation mark that nothing closes");
}

/// $"...": a text to be translated, in which variables have no meaning.
void Lexer::take_translated(Word& word) {
    word.push_back({WordPart::Kind::text, true, {}});
    while (!at_end()) {
        const char c = text_[at_++];
        if (c == '"') {
            return;
        }
        if (c == '\\' && !at_end() && (peek() == '"' || peek() == '\n')) {
            const char next = text_[at_++];
            if (next == '"') {
                append(word, next, true);
            }
        } else {
            append(word, c, true);
            if (c == '\\' && !at_end()) {
                append(word, text_[at_++], true);
            }
        }
    }
    complain("a quotation mark that nothing closes");
}

std::string Lexer::variable_name() {
    std::string name;
    if (at_end()) {
        return name;
    }
    if (std::string_view{"?#*@"}.find(peek()) != std::string_view::npos) {
        name.push_back(text_[at_++]);
    } else {
        const auto belongs = digit(peek()) ? digit : name_character;
        while (!at_end() && belongs(peek())) {
            name.push_back(text_[at_++]);
        }
    }
    return name;
}

void Lexer::take_variable(Word& word, bool quoted) {
    const bool braced = !at_end() && peek() == '{';
    at_ += braced ? 1 : 0;
    const std::string name = variable_name();
    const bool closed = !braced || (!at_end() && peek() == '}');
    at_ += braced && closed ? 1 : 0;
    if (name.empty() || !closed) {
        complain("a '$' without the name of a variable");
        return;
    }
    word.push_back({WordPart::Kind::variable, quoted, name});
}

} // namespace parapet::bootdisk
