// SPDX-License-Identifier: Apache-2.0
// What `parapet help` and `--help` print.
#include "tools/parapet/help.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>
#include <vector>

namespace parapet::cli {
namespace {

constexpr std::string_view overview = R"(Parapet runs paravirtual (Xen PV) guest kernels on Linux with KVM, without Xen.

  parapet run KERNEL [options]   boot a kernel as a domain, its console on this terminal
  parapet doctor [--json]        say what this host offers, and what to do where something lacks
  parapet help [COMMAND]         this text, or all about one command
  parapet version

For example:
  parapet run /boot/vmlinuz-6.1.0-9-amd64 --initrd initramfs.gz --cmdline "console=hvc0" --memory 512M
)";

constexpr std::string_view run_help = R"(parapet run [--kernel] KERNEL [options]

Boots KERNEL (an ELF image or bzImage with CONFIG_XEN_PV, as distributions ship it) as a domain and waits for its end.
Ctrl-] leaves the console and ends the domain.

  --kernel FILE        the kernel; also without the option's name
  --initrd FILE        its initial ramdisk; may be repeated: the files are joined in order
  --cmdline TEXT       its command line, for example "console=hvc0 quiet"
  --memory SIZE        memory: a whole number with K, M, G or T, or B for bytes; without a letter MiB [512M]
  --name NAME          the domain's name: letters, digits and . _ - [the kernel's file name]
  --timeout DURATION   end the domain after this time, reboots included: 500ms, 90, 90s, 5m, 1h [never]
  --console WHERE      stdio, none (discard output, no input), or a file to write the output to [stdio]
  --no-reboot          end when the guest reboots, instead of starting it again
  --stats              print statistics as a table on standard error at the end
  --json [WHERE]       write the statistics as one JSON object to a file, or to an open descriptor: fd:N
                       [alone, as the last word or before another option: fd:2]
  --home auto|ring0|ring3
                       where the nucleus runs inside the domain's VM; for tests [auto]
  -h, --help           this text

Exit status: 0 the guest powered off (or the number that it wrote to its xenstore node data/exit-code),
1 it could not start or the host failed, 2 usage, 3 the guest crashed, 4 it rebooted under --no-reboot, 124 timeout.
)";

constexpr std::string_view doctor_help = R"(parapet doctor [--json]

Checks what this host offers to domains: processor, /dev/kvm and the right to use it, kind and features of its KVM,
io_uring, huge pages, memory. One line each, with the remedy where something lacks.

  --json       print the checks as one JSON object
  -h, --help   this text

Exit status: 0 domains can run here, 1 they cannot, 2 usage.
)";

constexpr std::string_view help_help = "parapet help [COMMAND]\n\nExplains a command: run, doctor, version.\n";
constexpr std::string_view version_help = "parapet version\n\nPrints the version.\n";

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> topics{
    {{"", overview}, {"run", run_help}, {"doctor", doctor_help}, {"help", help_help}, {"version", version_help}}};

/// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

} // namespace

std::string_view help_text(std::string_view topic) {
    const auto found =
        std::find_if(topics.begin(), topics.end(), [&](const auto& entry) { return entry.first == topic; });
    return found == topics.end() ? std::string_view{} : found->second;
}

std::string_view similar_verb(std::string_view word) {
    for (const auto& [verb, text] : topics) {
        if (!verb.empty() && distance(word, verb) <= 2) {
            return verb;
        }
    }
    return {};
}

} // namespace parapet::cli
