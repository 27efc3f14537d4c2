// SPDX-License-Identifier: Apache-2.0
// The command line of `parapet` as values.
#pragma once

#include "backends/console/console_streams.hpp"
#include "support/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace parapet::cli {

/// Where the nucleus's core runs (docs/architecture.md).
enum class Home { automatic, ring0, ring3 };

/// Where the statistics go: a file, or when `file` is empty a descriptor that is open already.
struct JsonTarget {
    std::string file;
    int descriptor = -1;
};

struct RunOptions {
    std::string kernel;
    std::vector<std::string> initrds;
    std::string cmdline;
    std::uint64_t memory_bytes = 512ULL << 20; ///< Whole pages.
    std::string name;                          ///< Defaults to the kernel's file name.
    std::optional<std::chrono::nanoseconds> timeout;
    console::ConsoleConfig console;
    Home home = Home::automatic;
    bool no_reboot = false;
    bool stats = false;
    std::optional<JsonTarget> json;
};

struct DoctorOptions {
    bool json = false;
};

enum class Verb { run, doctor, help, version };

struct Invocation {
    Verb verb = Verb::help;
    RunOptions run;
    DoctorOptions doctor;
    std::string help_topic; ///< Empty: the overview.
};

/// `arguments`: without the program's name. An Error means exit status 2.
Result<Invocation> parse_command_line(const std::vector<std::string>& arguments);

} // namespace parapet::cli
