// SPDX-License-Identifier: Apache-2.0
// A verb's words by Boost.Program_options, its complaints as our sentences. Internal to the command line's parsers.
#pragma once

#include "support/result.hpp"
#include "tools/parapet/options.hpp"

#include <boost/program_options.hpp>
#include <string>
#include <vector>

namespace parapet::cli {

std::string in_quotes(const std::string& text);

Result<boost::program_options::parsed_options>
parse_words(const std::string& verb, const std::vector<std::string>& words,
            const boost::program_options::options_description& known,
            const boost::program_options::positional_options_description& positional);

[[nodiscard]] bool asks_help(const boost::program_options::parsed_options& parsed);

Invocation help_about(const std::string& topic);

/// What a domain's name may consist of.
[[nodiscard]] bool name_character(char c);

} // namespace parapet::cli
