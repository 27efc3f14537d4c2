// SPDX-License-Identifier: Apache-2.0
// The `parapet` command.
#include "support/log_output.hpp"
#include "tools/parapet/boot_from_disk.hpp"
#include "tools/parapet/control_verbs.hpp"
#include "tools/parapet/doctor/doctor.hpp"
#include "tools/parapet/exit_status.hpp"
#include "tools/parapet/help.hpp"
#include "tools/parapet/options.hpp"
#include "tools/parapet/run_command.hpp"
#include "tools/parapet/sandbox_command.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace parapet::cli;

/// Text on standard output; a reader that went away is a failure, not a death by signal.
int print(std::string_view text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    return written ? exit_powered_off : exit_failed;
}

int dispatch(const Invocation& invocation) {
    switch (invocation.verb) {
    case Verb::run:
        return run_command(invocation.run);
    case Verb::boot_files:
        return show_boot_files(invocation.run);
    case Verb::list:
        return list_domains(invocation.control);
    case Verb::console:
        return view_console(invocation.control);
    case Verb::shutdown:
        return shut_down_domain(invocation.control, "poweroff");
    case Verb::reboot:
        return shut_down_domain(invocation.control, "reboot");
    case Verb::destroy:
        return destroy_domain(invocation.control);
    case Verb::mem_set:
        return set_domain_memory(invocation.control);
    case Verb::attach:
        return attach_device(invocation.control);
    case Verb::detach:
        return detach_device(invocation.control);
    case Verb::doctor:
        return invocation.doctor.sandbox ? print_sandbox(invocation.doctor.json)
                                         : doctor::run_doctor(invocation.doctor.json, doctor::probe_entries());
    case Verb::version:
        return print(version_text);
    case Verb::help:
        break;
    }
    return print(help_text(invocation.help_topic));
}

} // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGCHLD, SIG_DFL); // where it is ignored, the end of a child cannot be waited for
    try {
        const std::vector<std::string> arguments{argv + (argc > 0 ? 1 : 0), argv + argc};
        const auto invocation = parse_command_line(arguments);
        if (!invocation) {
            std::fprintf(stderr, "parapet: %s\n", invocation.error().message.c_str());
            return exit_usage;
        }
        return dispatch(*invocation);
    } catch (const std::bad_alloc&) {
        std::fputs("parapet: the host has no memory left: free some, or lower --memory\n", stderr);
    } catch (const std::exception& error) {
        // After what the log says.
        parapet::log_text(std::string{"parapet: unexpected failure ("} + error.what() + "): please report it\n");
    }
    return exit_failed;
}
