// SPDX-License-Identifier: Apache-2.0
// GRUB's script language (GRUB manual, "Shell-like scripting") as a tree.
#pragma once

#include "support/result.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

/// A piece of a word: text as it stands, or the value of a variable.
struct WordPart {
    enum class Kind { text, variable } kind = Kind::text;
    bool quoted = false; ///< a variable's value is not split at blanks
    std::string text;    ///< the text, or the variable's name
};
using Word = std::vector<WordPart>; ///< "" is one quoted, empty text

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
    enum class Kind {
        command,  ///< words; `menuentry` and `submenu` have the block in blocks[0]
        branch,   ///< if: blocks are condition, body, condition, body, ..., and the else body where their number is odd
        loop,     ///< for: words are the variable's name and the values, blocks[0] the body
        function, ///< words are its name, blocks[0] the body
        skipped   ///< while, until: never carried out
    } kind = Kind::command;
    std::vector<Word> words;
    std::vector<std::shared_ptr<const Block>> blocks;
};

/// Error: where the text stops making sense.
Result<std::shared_ptr<const Block>> parse_script(std::string_view text);

} // namespace parapet::bootdisk
