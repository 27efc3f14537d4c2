// SPDX-License-Identifier: Apache-2.0
// Parsing by Boost.Program_options; values, repetitions and contradictions are judged here, for better sentences.
#include "tools/parapet/options.hpp"

#include "tools/parapet/control_options.hpp"
#include "tools/parapet/help.hpp"
#include "tools/parapet/quantities.hpp"
#include "tools/parapet/words.hpp"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace parapet::cli {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t least_memory = 4ULL << 20;

Result<void> set_memory(RunOptions& options, const std::string& text) {
    const auto size = parse_size(text);
    if (!size) {
        return Error{"--memory: " + size.error().message};
    }
    if (*size < least_memory) {
        return Error{"--memory " + text + " is too little: a domain needs at least " + format_size(least_memory)};
    }
    if (*size % page_bytes != 0) {
        return Error{"--memory " + text + " is not a whole number of 4K pages: round it, for example to " +
                     format_size(*size / page_bytes * page_bytes)};
    }
    options.memory_bytes = *size;
    return {};
}

Result<void> set_timeout(RunOptions& options, const std::string& text) {
    const auto duration = parse_duration(text);
    if (!duration) {
        return Error{"--timeout: " + duration.error().message};
    }
    options.timeout = *duration;
    return {};
}

Result<void> set_name(RunOptions& options, const std::string& text) {
    if (auto checked = check_name(text); !checked) {
        return Error{"--name " + checked.error().message};
    }
    options.name = text;
    options.name_given = true;
    return {};
}

std::string name_from_kernel(const std::string& kernel) {
    std::string name = fs::path{kernel}.filename().string().substr(0, 64);
    std::replace_if(
        name.begin(), name.end(), [](char c) { return !name_character(c); }, '-');
    return name.empty() ? "domain" : name;
}

Result<void> set_console(RunOptions& options, const std::string& text) {
    using Kind = console::ConsoleConfig::Kind;
    options.console_given = true;
    if (text == "stdio" || text == "none") {
        options.console.kind = text == "none" ? Kind::none : Kind::stdio;
    } else if (text == "-") {
        return Error{
            "--console - is ambiguous: write --console stdio for this terminal, or ./- for a file of that name"};
    } else {
        options.console.kind = Kind::file;
        options.console.file = text;
    }
    return {};
}

Result<void> set_json(RunOptions& options, const std::string& text) {
    JsonTarget target;
    if (text.starts_with("fd:")) {
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data() + 3, end, target.descriptor);
        if (error != std::errc{} || stop != end || target.descriptor < 1) {
            return Error{"--json " + in_quotes(text) + " names no descriptor to write to: write, for example, fd:3"};
        }
    } else {
        target.file = text;
    }
    options.json = target;
    return {};
}

Result<void> set_home(RunOptions& options, const std::string& text) {
    static const std::map<std::string, Home> homes{
        {"auto", Home::automatic}, {"ring0", Home::ring0}, {"ring3", Home::ring3}};
    const auto found = homes.find(text);
    if (found == homes.end()) {
        return Error{"--home " + in_quotes(text) + " is not known: choose auto, ring0 or ring3"};
    }
    options.home = found->second;
    return {};
}

Result<void> add_disk(RunOptions& options, const std::string& text) {
    auto spec = disk::parse_disk_spec(text);
    if (!spec) {
        return Error{"--disk: " + spec.error().message};
    }
    options.disks.push_back(*std::move(spec));
    return {};
}

Result<void> add_vif(RunOptions& options, const std::string& text) {
    auto spec = net::parse_vif(text);
    if (!spec) {
        return Error{"--vif: " + spec.error().message};
    }
    options.vifs.push_back(*std::move(spec));
    return {};
}

using Setter = std::function<Result<void>(RunOptions&, const std::string&)>;

struct RunOption {
    bool takes_value;
    bool repeatable;
    Setter set;
};

const std::map<std::string, RunOption>& run_option_table() {
    const auto text = [](std::string RunOptions::*field) {
        return [field](RunOptions& options, const std::string& value) -> Result<void> {
            options.*field = value;
            return {};
        };
    };
    const auto flag = [](bool RunOptions::*field) {
        return [field](RunOptions& options, const std::string&) -> Result<void> {
            options.*field = true;
            return {};
        };
    };
    const auto add_initrd = [](RunOptions& options, const std::string& value) -> Result<void> {
        options.initrds.push_back(value);
        return {};
    };
    const auto set_cmdline = [](RunOptions& options, const std::string& value) -> Result<void> {
        options.cmdline = value;
        options.cmdline_given = true;
        return {};
    };
    const auto set_boot_entry = [](RunOptions& options, const std::string& value) -> Result<void> {
        options.boot_entry = value;
        return {};
    };
    static const std::map<std::string, RunOption> table{
        {"kernel", {true, false, text(&RunOptions::kernel)}},
        {"initrd", {true, true, add_initrd}},
        {"disk", {true, true, add_disk}},
        {"vif", {true, true, add_vif}},
        {"cmdline", {true, false, set_cmdline}},
        {"append", {true, false, text(&RunOptions::append)}},
        {"boot-entry", {true, false, set_boot_entry}},
        {"memory", {true, false, set_memory}},
        {"name", {true, false, set_name}},
        {"timeout", {true, false, set_timeout}},
        {"console", {true, false, set_console}},
        {"no-reboot", {false, false, flag(&RunOptions::no_reboot)}},
        {"linear-page-tables", {false, false, flag(&RunOptions::linear_page_tables)}},
        {"stats", {false, false, flag(&RunOptions::stats)}},
        {"json", {true, false, set_json}},
        {"detach", {false, false, flag(&RunOptions::detach)}},
        {"home", {true, false, set_home}}};
    return table;
}

bool same_file(const std::string& a, const std::string& b) {
    std::error_code error;
    if (fs::equivalent(a, b, error)) {
        return true;
    }
    return fs::weakly_canonical(fs::absolute(a, error), error) == fs::weakly_canonical(fs::absolute(b, error), error);
}

/// Whether writing to `file` would end up in our standard output (a character device like /dev/null is no matter).
bool is_standard_output(const std::string& file) {
    struct stat named {};
    struct stat standard {};
    return stat(file.c_str(), &named) == 0 && fstat(STDOUT_FILENO, &standard) == 0 && named.st_dev == standard.st_dev &&
           named.st_ino == standard.st_ino && (!S_ISCHR(named.st_mode) || isatty(STDOUT_FILENO) == 1);
}

/// An output that would overwrite an input, or two outputs into one place.
Result<void> check_contradictions(const RunOptions& options) {
    using Kind = console::ConsoleConfig::Kind;
    std::vector<std::string> inputs = options.initrds;
    inputs.push_back(options.kernel);
    const auto overwrites = [&](const std::string& output) {
        return std::find_if(inputs.begin(), inputs.end(),
                            [&](const std::string& input) { return same_file(input, output); });
    };
    const bool console_file = options.console.kind == Kind::file;
    if (options.detach && options.console_given && options.console.kind == Kind::stdio) {
        return Error{"--console stdio and --detach contradict each other: leave one out ('parapet console " +
                     options.name + "' shows the console of a domain in the background)"};
    }
    if (console_file && overwrites(options.console.file) != inputs.end()) {
        return Error{"--console would overwrite " + in_quotes(options.console.file) +
                     ", which the domain boots: name another file"};
    }
    if (!options.json) {
        return {};
    }
    const JsonTarget& json = *options.json;
    if (!json.file.empty() && overwrites(json.file) != inputs.end()) {
        return Error{"--json would overwrite " + in_quotes(json.file) + ", which the domain boots: name another file"};
    }
    if (console_file && !json.file.empty() && same_file(json.file, options.console.file)) {
        return Error{"--json and --console both name " + in_quotes(json.file) +
                     ": give the statistics a file of their own"};
    }
    if (options.console.kind == Kind::stdio && !options.detach &&
        (json.descriptor == STDOUT_FILENO || (!json.file.empty() && is_standard_output(json.file)))) {
        return Error{"--json would mix the statistics into the console on standard output: use a file or fd:3, or "
                     "--console none"};
    }
    return {};
}

/// Two forms that the parser would refuse: an empty `--cmdline=`, and `--json` alone, which means standard error.
std::vector<std::string> normalise(const std::vector<std::string>& words) {
    std::vector<std::string> result;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i] == "--") {
            result.insert(result.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
            break;
        }
        const bool last = i + 1 == words.size() || words[i + 1].starts_with("--");
        if (words[i] == "--cmdline=") {
            result.insert(result.end(), {"--cmdline", ""});
        } else if (words[i] == "--json" && last) {
            result.push_back("--json=fd:2");
        } else {
            result.push_back(words[i]);
        }
    }
    return result;
}

/// Without a kernel, the disks are asked, in their order and CDs last.
Result<void> choose_boot_disk(RunOptions& options) {
    if (!options.kernel.empty()) {
        return options.boot_entry
                   ? Error{"--boot-entry chooses what a disk boots, but a kernel is given, too: leave one out"}
                   : Result<void>{};
    }
    for (const bool cds : {false, true}) {
        for (const disk::DiskSpec& disk : options.disks) {
            if (disk.cdrom == cds && !disk.target.empty()) {
                options.boot_disks.push_back(disk);
            }
        }
    }
    if (options.boot_disks.empty()) {
        return Error{
            "no kernel is given: write 'parapet run KERNEL', or give a --disk that has one; 'parapet help run' "
            "explains"};
    }
    return {};
}

/// boot-files IMAGE [ENTRY]
Result<Invocation> parse_boot_files(const std::vector<std::string>& words) {
    po::options_description known;
    known.add_options()("help,h", "")("image", po::value<std::vector<std::string>>()->composing(), "");
    po::positional_options_description positional;
    positional.add("image", -1);
    const auto parsed = parse_words("boot-files", words, known, positional);
    if (!parsed) {
        return parsed.error();
    }
    if (asks_help(*parsed)) {
        return help_about("boot-files");
    }
    std::vector<std::string> given;
    for (const po::option& option : parsed->options) {
        given.insert(given.end(), option.value.begin(), option.value.end());
    }
    if (given.empty() || given.size() > 2 || given.front().empty()) {
        return Error{
            "boot-files takes a disk image and, if you like, a boot entry: 'parapet boot-files IMAGE [ENTRY]'"};
    }
    Invocation invocation{.verb = Verb::boot_files, .run = {}, .doctor = {}, .control = {}, .help_topic = {}};
    auto disk = disk::parse_disk_spec(given.front());
    if (!disk) {
        return Error{"boot-files " + given.front() + ": " + disk.error().message};
    }
    if (disk->target.empty()) {
        return Error{"boot-files " + given.front() + " names no disk image"};
    }
    invocation.run.boot_disks.push_back(*std::move(disk));
    if (given.size() == 2) {
        invocation.run.boot_entry = given.back();
    }
    return invocation;
}

Result<Invocation> parse_run(const std::vector<std::string>& words) {
    po::options_description known;
    known.add_options()("help,h", "");
    for (const auto& [name, option] : run_option_table()) {
        if (option.takes_value) {
            known.add_options()(name.c_str(), po::value<std::vector<std::string>>()->composing(), "");
        } else {
            known.add_options()(name.c_str(), "");
        }
    }
    po::positional_options_description positional;
    positional.add("kernel", -1);
    const auto parsed = parse_words("run", normalise(words), known, positional);
    if (!parsed) {
        return parsed.error();
    }
    if (asks_help(*parsed)) {
        return help_about("run");
    }
    Invocation invocation{.verb = Verb::run, .run = {}, .doctor = {}, .control = {}, .help_topic = {}};
    std::set<std::string> seen;
    for (const po::option& given : parsed->options) {
        const RunOption& option = run_option_table().at(given.string_key);
        const std::string value = given.value.empty() ? std::string{} : given.value.front();
        if (!seen.insert(given.string_key).second && !option.repeatable) {
            return given.string_key == "kernel"
                       ? Error{"two kernels are given, " + in_quotes(invocation.run.kernel) + " and " +
                               in_quotes(value) + ": name one (other options begin with --)"}
                       : Error{"option '--" + given.string_key + "' is given twice: keep one"};
        }
        const bool swallowed = given.position_key < 0 && value.starts_with("--") && given.string_key != "cmdline";
        if (swallowed) {
            return Error{"option '--" + given.string_key + "' needs a value, but " + in_quotes(value) +
                         " follows: give one (for a file of that name write ./" + value + ")"};
        }
        if (option.takes_value && value.empty() && given.string_key != "cmdline") {
            return Error{"option '--" + given.string_key + "' has an empty value: give one, or leave the option out"};
        }
        if (const auto set = option.set(invocation.run, value); !set) {
            return set.error();
        }
    }
    if (const auto chosen = choose_boot_disk(invocation.run); !chosen) {
        return chosen.error();
    }
    if (invocation.run.name.empty()) {
        const RunOptions& run = invocation.run;
        invocation.run.name = name_from_kernel(run.kernel.empty() ? run.boot_disks.front().target : run.kernel);
    }
    if (const auto checked = check_contradictions(invocation.run); !checked) {
        return checked.error();
    }
    if (invocation.run.detach && !invocation.run.console_given) {
        invocation.run.console.kind = console::ConsoleConfig::Kind::none;
    }
    return invocation;
}

Result<Invocation> parse_doctor(const std::vector<std::string>& words) {
    po::options_description known;
    known.add_options()("help,h", "")("json", "")("sandbox", "");
    const auto parsed = parse_words("doctor", words, known, {});
    if (!parsed) {
        return parsed.error();
    }
    if (asks_help(*parsed)) {
        return help_about("doctor");
    }
    Invocation invocation{.verb = Verb::doctor, .run = {}, .doctor = {}, .control = {}, .help_topic = {}};
    for (const auto& option : parsed->options) {
        invocation.doctor.json |= option.string_key == "json";
        invocation.doctor.sandbox |= option.string_key == "sandbox";
    }
    return invocation;
}

Result<Invocation> parse_help(const std::vector<std::string>& words) {
    const std::string topic = words.empty() ? std::string{} : words.front();
    if (words.size() > 1 || help_text(topic).empty()) {
        return Error{"there is no help about " + in_quotes(words.back()) + ": 'parapet help' lists the commands"};
    }
    return help_about(topic);
}

} // namespace

Result<Invocation> parse_command_line(const std::vector<std::string>& arguments) {
    if (arguments.empty()) {
        return Error{"no command is given: 'parapet help' lists them, 'parapet run KERNEL' boots a kernel"};
    }
    const std::string& verb = arguments.front();
    const std::vector<std::string> rest{arguments.begin() + 1, arguments.end()};
    if (verb == "run") {
        return parse_run(rest);
    }
    if (verb == "boot-files") {
        return parse_boot_files(rest);
    }
    if (verb == "doctor") {
        return parse_doctor(rest);
    }
    if (is_control_verb(verb)) {
        return parse_control(verb, rest);
    }
    if (verb == "help" || verb == "--help" || verb == "-h") {
        return parse_help(rest);
    }
    if (verb == "version" || verb == "--version") {
        if (rest.empty()) {
            return Invocation{.verb = Verb::version, .run = {}, .doctor = {}, .control = {}, .help_topic = {}};
        }
        if (rest.front() == "--help" || rest.front() == "-h") {
            return help_about("version");
        }
        return Error{"'parapet version' takes no further words: leave " + in_quotes(rest.front()) + " out"};
    }
    const std::string_view similar = similar_verb(verb);
    return Error{"unknown command " + in_quotes(verb) +
                 (similar.empty() ? std::string{": 'parapet help' lists the commands"}
                                  : ": did you mean 'parapet " + std::string{similar} + "'?")};
}

} // namespace parapet::cli
