// SPDX-License-Identifier: Apache-2.0
// The command line of `parapet` as values.
#pragma once

#include "backends/console/console_streams.hpp"
#include "backends/disk/disk_spec.hpp"
#include "backends/net/vif_spec.hpp"
#include "support/result.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace parapet::bootdisk {
struct BootFiles;
} // namespace parapet::bootdisk

namespace parapet::cli {

/// Where the nucleus's core runs (docs/architecture.md).
enum class Home { automatic, ring0, ring3 };

/// Where the statistics go: a file, or when `file` is empty a descriptor that is open already.
struct JsonTarget {
    std::string file;
    int descriptor = -1;
};

struct RunOptions {
    std::string kernel;       ///< May be empty where a disk is given: then what that boots (boot_from_disk.hpp).
    std::string kernel_label; ///< What messages call it; empty: as `kernel`.
    std::vector<std::string> initrds;
    std::string cmdline;
    std::vector<disk::DiskSpec> disks;
    std::vector<net::VifSpec> vifs;
    bool cmdline_given = false; ///< Otherwise a boot entry's counts.
    std::string append;         ///< Added to the command line, whosever it is.
    /// The disks that are asked, in this order, what they boot where no kernel is given.
    std::vector<disk::DiskSpec> boot_disks;
    std::optional<std::string> boot_entry;                 ///< Which of its entries.
    std::shared_ptr<const bootdisk::BootFiles> boot_files; ///< What was found there, kept open.
    std::uint64_t memory_bytes = 512ULL << 20;             ///< Whole pages.
    std::string name;                                      ///< Defaults to the kernel's file name.
    std::optional<std::chrono::nanoseconds> timeout;
    console::ConsoleConfig console;
    Home home = Home::automatic;
    bool no_reboot = false;
    bool linear_page_tables = false;
    bool detach = false;     ///< In the background: returns when the guest runs.
    bool name_given = false; ///< Otherwise another one may be found.
    bool console_given = false;
    bool stats = false;
    std::optional<JsonTarget> json;
};

struct DoctorOptions {
    bool sandbox = false;
    bool json = false;
};

/// What commands a running domain, by its name (control_options.cpp).
struct ControlOptions {
    std::string domain;
    std::string device; ///< attach: its kind, "disk" or "vif"; detach: its name
    std::string spec;   ///< attach
    std::uint64_t bytes = 0;
    std::optional<std::chrono::nanoseconds> timeout;
    bool wait = false;
    bool force = false;
    bool history = false; ///< console: only what was said so far
    bool json = false;
};

enum class Verb {
    run,
    boot_files,
    list,
    console,
    shutdown,
    reboot,
    destroy,
    mem_set,
    attach,
    detach,
    doctor,
    help,
    version
};

struct Invocation {
    Verb verb = Verb::help;
    RunOptions run;
    DoctorOptions doctor;
    ControlOptions control;
    std::string help_topic; ///< Empty: the overview.
};

/// Whether it can be the name of a domain.
[[nodiscard]] Result<void> check_name(const std::string& text);

/// `arguments`: without the program's name. An Error means exit status 2.
Result<Invocation> parse_command_line(const std::vector<std::string>& arguments);

} // namespace parapet::cli
