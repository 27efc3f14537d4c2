// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/words.hpp"

#include <algorithm>

namespace parapet::cli {

namespace po = boost::program_options;

namespace {

/// The parser's complaint as one sentence.
Error explain(const po::error& error, const std::string& verb) {
    const std::string see = "; 'parapet help " + verb + "' lists the options";
    if (const auto* unknown = dynamic_cast<const po::unknown_option*>(&error)) {
        return Error{"unknown option " + in_quotes(unknown->get_option_name()) + see};
    }
    if (const auto* syntax = dynamic_cast<const po::invalid_command_line_syntax*>(&error)) {
        using Kind = po::invalid_syntax::kind_t;
        const std::string name = in_quotes(syntax->get_option_name());
        switch (syntax->kind()) {
        case Kind::missing_parameter:
        case Kind::empty_adjacent_parameter:
            return Error{"option " + name + " needs a value" + see};
        case Kind::extra_parameter:
            return Error{"option " + name + " takes no value" + see};
        default:
            break;
        }
    }
    if (dynamic_cast<const po::too_many_positional_options_error*>(&error) != nullptr) {
        return Error{"too many words on the command line" + see};
    }
    return Error{std::string{error.what()} + see};
}

} // namespace

std::string in_quotes(const std::string& text) {
    return "'" + text + "'";
}

Result<po::parsed_options> parse_words(const std::string& verb, const std::vector<std::string>& words,
                                       const po::options_description& known,
                                       const po::positional_options_description& positional) {
    namespace style = po::command_line_style;
    try {
        return po::command_line_parser{words}
            .options(known)
            .positional(positional)
            .style(style::unix_style & ~style::allow_guessing)
            .run();
    } catch (const po::error& error) {
        return explain(error, verb);
    }
}

bool asks_help(const po::parsed_options& parsed) {
    return std::any_of(parsed.options.begin(), parsed.options.end(),
                       [](const po::option& option) { return option.string_key == "help"; });
}

Invocation help_about(const std::string& topic) {
    return Invocation{.verb = Verb::help, .run = {}, .doctor = {}, .control = {}, .help_topic = topic};
}

bool name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

Result<void> check_name(const std::string& text) {
    if (text.empty() || text.size() > 64 || !std::all_of(text.begin(), text.end(), name_character)) {
        return Error{in_quotes(text) + " is no name for a domain: use at most 64 letters, digits and . _ -"};
    }
    return {};
}

} // namespace parapet::cli
