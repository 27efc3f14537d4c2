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

  parapet run KERNEL [options]    boot a kernel as a domain, its console on this terminal or in the background
  parapet list [--json]           the domains that run
  parapet console NAME            the console of a running domain on this terminal; Ctrl-] leaves
  parapet shutdown NAME [--wait]  ask the guest to power off
  parapet reboot NAME             ask the guest to reboot
  parapet destroy NAME            end a domain at once
  parapet mem-set NAME SIZE       ask the guest to give memory back, or take it again
  parapet attach NAME disk|vif SPEC, parapet detach NAME DEVICE
                                  add a device to a running domain, or take one away
  parapet boot-files IMAGE        what a disk image offers to boot, and what it would boot
  parapet doctor [--sandbox] [--json]
                                  say what this host offers, and what to do where something lacks
  parapet help [COMMAND]          this text, or all about one command
  parapet version

For example:
  parapet run /boot/vmlinuz-6.1.0-9-amd64 --initrd initramfs.gz --cmdline "console=hvc0" --memory 512M
  parapet run --detach --name web KERNEL ...; parapet console web; parapet shutdown web --wait
)";

constexpr std::string_view run_help = R"(parapet run [--kernel] KERNEL [options]
parapet run --disk IMAGE [options]

Boots KERNEL (an ELF image or bzImage with CONFIG_XEN_PV, as distributions ship it) as a domain and waits for its end.
Without KERNEL the first --disk that can boot does (CDs last): kernel, initrd and command line are those that its grub.cfg (or BLS entries,
extlinux.conf, menu.lst) names; 'parapet boot-files IMAGE' shows them. --initrd then adds one, and --cmdline replaces what is found.
Ctrl-] leaves the console and ends the domain.

  --kernel FILE        the kernel; also without the option's name
  --initrd FILE        its initial ramdisk; may be repeated: the files are joined in order
  --cmdline TEXT       its command line, for example "console=hvc0 quiet"
  --disk SPEC          a virtual disk, in xl's syntax: FILE[,FORMAT[,VDEV[,ACCESS]]] or keywords, for example
                       root.img,raw,xvda,w; may be repeated (docs/devices.md lists the keywords)
  --append TEXT        added to the command line
  --boot-entry ENTRY   without KERNEL: which entry of the first disk's boot menu, by title, id or number ("1>0" within
                       a submenu) [its default]
  --vif SPEC           a network interface, in xl's syntax, with an endpoint: user (no root needed), tap, or a socket
                       to another domain, for example user,forward=tcp:2222:22; may be repeated
  --memory SIZE        memory: a whole number with K, M, G or T, or B for bytes; without a letter MiB [512M]
  --name NAME          the domain's name: letters, digits and . _ - [the kernel's file name, with -2, -3, ... where
                       a domain of that name runs already]
  --timeout DURATION   end the domain after this time, reboots included: 500ms, 90, 90s, 5m, 1h [never]
  --console WHERE      stdio, none (discard output, no input), or a file to write the output to [stdio]
  --detach             in the background: print the domain's name and return as soon as the guest runs; 'parapet
                       console NAME' shows its console
  --no-reboot          end when the guest reboots, instead of starting it again
  --stats              print statistics as a table on standard error at the end
  --json [WHERE]       write the statistics as one JSON object to a file, or to an open descriptor: fd:N
                       [alone, as the last word or before another option: fd:2]
  --linear-page-tables let the guest's page tables name themselves, read-only (Xen's pv-linear-pt), for NetBSD and
                       unikernels that are made so; Linux needs none of it, and less can go wrong without
  --home auto|ring0|ring3
                       where the nucleus runs inside the domain's VM; for tests [auto]
  -h, --help           this text

Exit status: 0 the guest powered off (or the number that it wrote to its xenstore node data/exit-code),
1 it could not start or the host failed, 2 usage, 3 the guest crashed, 4 it rebooted under --no-reboot, 124 timeout,
137 'parapet destroy'. With --detach: 0 the guest runs, else as above.
)";

constexpr std::string_view boot_files_help = R"(parapet boot-files IMAGE [ENTRY]

IMAGE: as in --disk, such as root.img, 'cloud.qcow2,qcow2' or nbd://server/export.
Shows what 'parapet run --disk IMAGE' would boot, and why: the boot configuration that counts, all entries of its menu,
the one that is taken (or ENTRY, as for --boot-entry) with kernel, initrds and command line, what was passed over, and
what a reboot starts where that is something else. The image is only read.

  -h, --help   this text

Exit status: 0, 1 nothing in it can be booted, 2 usage.
)";

constexpr std::string_view doctor_help = R"(parapet doctor [--sandbox] [--json]

Checks what this host offers to domains: processor, /dev/kvm and the right to use it, kind and features of its KVM,
io_uring, huge pages, memory. One line each, with the remedy where something lacks.

  --json       print the checks as one JSON object
  --sandbox    print instead which system calls each process of a domain may make (docs/security.md)
  -h, --help   this text

Exit status: 0 domains can run here, 1 they cannot, 2 usage.
)";

constexpr std::string_view list_help = R"(parapet list [--json]

Lists your running domains (root's, if root asks): name, process, domain number, state, memory now and at most, virtual
CPUs, time since the guest's start, devices. States: running; shutting-down, after a request; busy: it starts or
reboots just now, or its process hangs.

  --json       print an array with one JSON object for each domain
  -h, --help   this text

Exit status: 0, also when none runs; 2 usage.
)";

constexpr std::string_view console_help = R"(parapet console NAME [--history]

Shows the console of a running domain on this terminal: first what was said before (as far as it is kept, the last
256 KiB), then what comes; what is typed goes to the guest. Ctrl-] leaves, and the domain runs on. Any number of times,
and from several terminals at once. A viewer that is too slow loses output and is told so; the guest never waits for it.

  --history    print what was said so far, and return
  -h, --help   this text

Exit status: 0 left, or the domain ended; 1 no such domain, or the connection broke; 2 usage.
)";

constexpr std::string_view shutdown_help = R"(parapet shutdown NAME [--wait [--timeout DURATION]]

Asks the guest to power off, as its power button would (control/shutdown in xenstore).

  --wait               return when the domain has ended
  --timeout DURATION   with --wait: give up waiting after this time: 500ms, 90, 90s, 5m, 1h [never]
  -h, --help           this text

Exit status: 0 asked, or with --wait ended; 1 no such domain, or its guest does not heed such requests ('parapet destroy'
ends it); 2 usage; 124 --timeout.
)";

constexpr std::string_view reboot_help = R"(parapet reboot NAME

Asks the guest to reboot (control/shutdown in xenstore). Name, console and devices of the domain stay.

  -h, --help   this text

Exit status: 0 asked; 1 no such domain, or its guest does not heed such requests; 2 usage.
)";

constexpr std::string_view destroy_help = R"(parapet destroy NAME

Ends a domain at once, as if its power were cut, and returns when it has ended. What its guest had not written yet is
lost. Its 'parapet run' ends with status 137.

  -h, --help   this text

Exit status: 0 ended; 1 no such domain; 2 usage; 124 its process does not end (then 'kill -9' it).
)";

constexpr std::string_view mem_set_help = R"(parapet mem-set NAME SIZE [--wait [--timeout DURATION]]

Asks the guest's balloon driver to own SIZE of memory (memory/target in xenstore): what is less than it has goes back to
the host. At most the --memory that the domain was started with, at least 32M and a 16th of that.

  SIZE                 a whole number with K, M, G or T, or B for bytes; without a letter MiB
  --wait               return when the guest owns that much
  --timeout DURATION   with --wait: give up waiting after this time: 500ms, 90, 90s, 5m, 1h [never]
  -h, --help           this text

Exit status: 0 asked, or with --wait reached; 1 no such domain, or a SIZE out of bounds; 2 usage; 124 --timeout.
)";

constexpr std::string_view attach_help = R"(parapet attach NAME disk|vif SPEC

Adds a disk or a network interface to a running domain, and prints the device's name. SPEC is as after --disk or --vif
of 'parapet run'. It is opened by this command, with your rights, and handed to the domain.

  -h, --help   this text

Exit status: 0 attached; 1 no such domain, or the device cannot be opened or added; 2 usage.
)";

constexpr std::string_view detach_help = R"(parapet detach NAME DEVICE [--force] [--timeout DURATION]

Takes a device away from a running domain, and returns when the guest has let go of it. DEVICE is its name in 'parapet
list', or its kind and number: xvdb, vif0, vbd-51728.

  --force              do not wait for the guest, nor for a server that is away: it gets errors
  --timeout DURATION   give up waiting after this time; the request stays [10s]
  -h, --help           this text

Exit status: 0 detached; 1 no such domain or device; 2 usage; 124 --timeout.
)";

constexpr std::string_view help_help = R"(parapet help [COMMAND]

Explains a command: run, list, console, shutdown, reboot, destroy, mem-set, attach, detach, doctor, version.
)";
constexpr std::string_view version_help = "parapet version\n\nPrints the version.\n";

constexpr std::array<std::pair<std::string_view, std::string_view>, 14> topics{{{"", overview},
                                                                                {"run", run_help},
                                                                                {"list", list_help},
                                                                                {"console", console_help},
                                                                                {"shutdown", shutdown_help},
                                                                                {"reboot", reboot_help},
                                                                                {"destroy", destroy_help},
                                                                                {"mem-set", mem_set_help},
                                                                                {"attach", attach_help},
                                                                                {"detach", detach_help},
                                                                                {"boot-files", boot_files_help},
                                                                                {"doctor", doctor_help},
                                                                                {"help", help_help},
                                                                                {"version", version_help}}};

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
