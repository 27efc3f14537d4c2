// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/control_options.hpp"

#include "tools/parapet/quantities.hpp"
#include "tools/parapet/words.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace parapet::cli {
namespace {

namespace po = boost::program_options;

struct ControlVerb {
    Verb verb;
    std::vector<std::string> operands; ///< all are needed, in this order
    std::vector<std::string> options;
};

const std::map<std::string, ControlVerb>& control_verbs() {
    static const std::map<std::string, ControlVerb> table{
        {"list", {Verb::list, {}, {"json"}}},
        {"console", {Verb::console, {"NAME"}, {"history"}}},
        {"shutdown", {Verb::shutdown, {"NAME"}, {"wait", "timeout"}}},
        {"reboot", {Verb::reboot, {"NAME"}, {}}},
        {"destroy", {Verb::destroy, {"NAME"}, {}}},
        {"mem-set", {Verb::mem_set, {"NAME", "SIZE"}, {"wait", "timeout"}}},
        {"attach", {Verb::attach, {"NAME", "disk|vif", "SPEC"}, {}}},
        {"detach", {Verb::detach, {"NAME", "DEVICE"}, {"force", "timeout"}}}};
    return table;
}

Result<void> set_timeout(ControlOptions& options, const std::string& text) {
    const auto duration = parse_duration(text);
    if (!duration) {
        return Error{"--timeout: " + duration.error().message};
    }
    options.timeout = *duration;
    return {};
}

Result<void> set_operand(ControlOptions& options, const std::string& operand, const std::string& text) {
    if (operand == "NAME") {
        options.domain = text;
        return check_name(text);
    }
    if (operand == "SIZE") {
        const auto size = parse_size(text);
        if (!size) {
            return size.error();
        }
        options.bytes = *size >> 10 << 10; // xenstore counts in KiB
        return {};
    }
    if (operand == "disk|vif" && text != "disk" && text != "vif") {
        return Error{in_quotes(text) + " is no kind of device: disk and vif are"};
    }
    (operand == "SPEC" ? options.spec : options.device) = text;
    return {};
}

Result<void> set_option(ControlOptions& options, const std::string& name, const std::string& value) {
    if (name == "timeout") {
        return set_timeout(options, value);
    }
    const std::map<std::string, bool ControlOptions::*> flags{{"json", &ControlOptions::json},
                                                              {"wait", &ControlOptions::wait},
                                                              {"force", &ControlOptions::force},
                                                              {"history", &ControlOptions::history}};
    options.*flags.at(name) = true;
    return {};
}

Error wrong_count(const std::string& verb, const ControlVerb& known, std::size_t given) {
    std::string usage = "parapet " + verb;
    for (const std::string& operand : known.operands) {
        usage += " " + operand;
    }
    const bool few = given < known.operands.size();
    return Error{std::string{few ? "something is missing" : "too many words on the command line"} + ": write '" +
                 usage + "'; 'parapet help " + verb + "' explains"};
}

} // namespace

bool is_control_verb(const std::string& verb) {
    return control_verbs().contains(verb);
}

Result<Invocation> parse_control(const std::string& verb, const std::vector<std::string>& words) {
    const ControlVerb& known_verb = control_verbs().at(verb);
    po::options_description known;
    known.add_options()("help,h", "")("operand", po::value<std::vector<std::string>>()->composing(), "");
    for (const std::string& option : known_verb.options) {
        if (option == "timeout") {
            known.add_options()(option.c_str(), po::value<std::vector<std::string>>()->composing(), "");
        } else {
            known.add_options()(option.c_str(), "");
        }
    }
    po::positional_options_description positional;
    positional.add("operand", -1);
    const auto parsed = parse_words(verb, words, known, positional);
    if (!parsed) {
        return parsed.error();
    }
    if (asks_help(*parsed)) {
        return help_about(verb);
    }
    Invocation invocation{.verb = known_verb.verb, .run = {}, .doctor = {}, .control = {}, .help_topic = {}};
    std::vector<std::string> operands;
    std::set<std::string> seen;
    for (const po::option& given : parsed->options) {
        const std::string value = given.value.empty() ? std::string{} : given.value.front();
        if (given.string_key == "operand") {
            operands.push_back(value);
        } else if (!seen.insert(given.string_key).second) {
            return Error{"option '--" + given.string_key + "' is given twice: keep one"};
        } else if (const auto set = set_option(invocation.control, given.string_key, value); !set) {
            return set.error();
        }
    }
    if (operands.size() != known_verb.operands.size()) {
        return wrong_count(verb, known_verb, operands.size());
    }
    for (std::size_t i = 0; i < operands.size(); i++) {
        if (const auto set = set_operand(invocation.control, known_verb.operands[i], operands[i]); !set) {
            return set.error();
        }
    }
    const bool waits = invocation.control.wait || known_verb.verb == Verb::detach;
    if (invocation.control.timeout && !waits) {
        return Error{"--timeout has a meaning with --wait only: add it, or leave --timeout out"};
    }
    return invocation;
}

} // namespace parapet::cli
