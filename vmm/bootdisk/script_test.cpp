// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/script_test.hpp"

#include <cstdlib>
#include <optional>

namespace parapet::bootdisk {
namespace {

long number(const std::string& text) {
    return std::strtol(text.c_str(), nullptr, 10);
}

/// The outcome of `left op right`, or nothing where op is no operator.
std::optional<bool> compare(const std::string& left, const std::string& op, const std::string& right) {
    if (op == "=" || op == "==") {
        return left == right;
    }
    if (op == "!=") {
        return left != right;
    }
    if (op == "<") {
        return left < right;
    }
    if (op == ">") {
        return left > right;
    }
    if (op == "-eq") {
        return number(left) == number(right);
    }
    if (op == "-ne") {
        return number(left) != number(right);
    }
    if (op == "-lt") {
        return number(left) < number(right);
    }
    if (op == "-le") {
        return number(left) <= number(right);
    }
    if (op == "-gt") {
        return number(left) > number(right);
    }
    if (op == "-ge") {
        return number(left) >= number(right);
    }
    return std::nullopt;
}

/// Terms joined by -a and -o, each maybe after "!", as GRUB evaluates them: -a binds more tightly.
class Expression {
public:
    Expression(const std::vector<std::string>& words, const std::function<bool(const std::string&)>& exists)
        : words_{words}, exists_{exists} {}

    bool evaluate() {
        bool any = false;
        do {
            bool all = true;
            do {
                all = term() && all;
            } while (accept("-a"));
            any = any || all;
        } while (accept("-o"));
        return any;
    }

private:
    [[nodiscard]] bool has(std::size_t ahead) const { return at_ + ahead < words_.size(); }
    bool accept(const char* word) {
        const bool here = has(0) && words_[at_] == word;
        at_ += here ? 1 : 0;
        return here;
    }

    bool term() {
        bool negated = false;
        while (has(1) && accept("!")) {
            negated = !negated;
        }
        return primary() != negated;
    }

    bool primary() {
        if (!has(0)) {
            return false;
        }
        if (has(2)) {
            if (const auto outcome = compare(words_[at_], words_[at_ + 1], words_[at_ + 2])) {
                at_ += 3;
                return *outcome;
            }
        }
        const std::string& word = words_[at_];
        if (has(1) && word.size() == 2 && word[0] == '-') {
            const std::string& operand = words_[at_ + 1];
            switch (word[1]) {
            case 'n':
                at_ += 2;
                return !operand.empty();
            case 'z':
                at_ += 2;
                return operand.empty();
            case 'e':
            case 'f':
            case 's':
            case 'd':
                at_ += 2;
                return exists_(operand);
            default:
                break;
            }
        }
        at_++;
        return !word.empty();
    }

    const std::vector<std::string>& words_;
    const std::function<bool(const std::string&)>& exists_;
    std::size_t at_ = 0;
};

} // namespace

bool evaluate_test(const std::vector<std::string>& words, const std::function<bool(const std::string&)>& exists) {
    return Expression{words, exists}.evaluate();
}

} // namespace parapet::bootdisk
