// SPDX-License-Identifier: Apache-2.0
// The process that asks: checks the image, starts the finder, waits no longer than allowed.
#include "vmm/bootdisk/boot_files.hpp"

#include "vmm/bootdisk/confinement.hpp"
#include "vmm/bootdisk/finder.hpp"
#include "vmm/bootdisk/report.hpp"
#include "vmm/bootdisk/sparse_file.hpp"
#include "vmm/bootdisk/text_lines.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace parapet::bootdisk {
namespace {

using Clock = std::chrono::steady_clock;

Error about(const std::string& image, const std::string& what) {
    return Error{"disk '" + image + "': " + what};
}

/// The beginnings of images that are not raw.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> foreign_formats{{{"QFI\xfb", "qcow2"},
                                                                                        {"conectix", "vhd"},
                                                                                        {"vhdxfile", "vhdx"},
                                                                                        {"KDMV", "vmdk"},
                                                                                        {"# Disk Descriptor", "vmdk"},
                                                                                        {"QED\0", "qed"}}};

Result<std::string> check_image(const std::string& image) {
    const UniqueFd file{open(image.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat info {};
    if (!file.valid() || fstat(file.get(), &info) != 0) {
        return about(image, std::string{"cannot be opened ("} + std::strerror(errno) + "); check its path and rights");
    }
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
        return about(image, "is neither a file nor a block device; name a disk image");
    }
    std::array<char, 32> head{};
    const ssize_t got = pread(file.get(), head.data(), head.size(), 0);
    if (got <= 0) {
        return about(image, "is empty; name a disk image");
    }
    const std::string_view beginning{head.data(), static_cast<std::size_t>(got)};
    for (const auto& [magic, name] : foreign_formats) {
        if (beginning.starts_with(magic)) {
            return about(image,
                         "is no raw image: write its format behind it ('" + image + "," + std::string{name} + "')");
        }
    }
    const std::unique_ptr<char, decltype(&std::free)> real{realpath(image.c_str(), nullptr), &std::free};
    return real ? Result<std::string>{std::string{real.get()}}
                : about(image, std::string{"cannot be opened ("} + std::strerror(errno) + "); check its path");
}

constexpr int most_fd = program_fd + 120; ///< that become_finder() uses

/// At program_fd, from which it is executed.
Result<UniqueFd> open_program() {
    for (const char* path : {"/usr/bin/grub-fstest", "/usr/bin/grub2-fstest", "/usr/sbin/grub-fstest"}) {
        const UniqueFd program{open(path, O_PATH | O_CLOEXEC)};
        if (program.valid()) {
            // As high as the finder will need them.
            const UniqueFd highest{fcntl(program.get(), F_DUPFD_CLOEXEC, most_fd)};
            const int fd = fcntl(program.get(), F_DUPFD_CLOEXEC, program_fd);
            UniqueFd lower{fd};
            return highest.valid() && fd >= 0 ? Result<UniqueFd>{std::move(lower)}
                                              : Error{"the limit on open files is too low; raise it (ulimit -n 1024)"};
        }
    }
    return Error{"grub-fstest, which reads disk images, is not installed; install the package grub-common, or name a "
                 "kernel with --kernel"};
}

Result<UniqueFd> memory_file(const char* name) {
    UniqueFd file{memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!file.valid()) {
        return Error{std::string{"no memory for what it boots ("} + std::strerror(errno) + ")"};
    }
    return file;
}

/// In the child: only what it needs stays open, and none of our terminal.
[[noreturn]] void become_finder(FinderTask task, int program) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "parapet-boot");
    std::signal(SIGPIPE, SIG_DFL);
    std::signal(SIGXFSZ, SIG_DFL);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    std::vector<int> kept{
        null, task.report_fd, task.files.kernel, task.files.initrd, task.next_files.kernel, task.next_files.initrd};
    if (task.served.is_there()) {
        kept.insert(kept.end(), {task.served.fds.socket, task.served.fds.memory, task.served.fds.file});
    }
    // Upwards first, so that none is overwritten while they are laid side by side.
    for (int& fd : kept) {
        fd = fcntl(fd, F_DUPFD_CLOEXEC, program_fd + 100);
        if (fd < 0) {
            _exit(1); // or what lies at these numbers, a disk perhaps, would be written to
        }
    }
    if (dup3(program, program_fd, O_CLOEXEC) < 0 && program != program_fd) {
        _exit(1);
    }
    for (int fd = 0; fd < 3; fd++) {
        dup2(kept[0], fd);
    }
    int next = STDERR_FILENO + 1;
    for (std::size_t i = 1; i < kept.size(); i++) {
        dup3(kept[i], next++, O_CLOEXEC);
    }
    close_range(static_cast<unsigned>(next), program_fd - 1, 0);
    close_range(program_fd + 1, ~0U, 0);
    task.report_fd = 3;
    task.files = {4, 5};
    task.next_files = {6, 7};
    if (task.served.is_there()) {
        task.served.fds = {8, 9, 10};
    }
    if (chdir("/") != 0) {
        _exit(1);
    }
    run_finder(task);
}

constexpr int glance_ms = 200;

/// Reads to the end of the pipe; nothing if the time is over or there is too much.
std::optional<std::string> read_report(int fd, Clock::time_point deadline) {
    std::string report;
    while (report.size() <= max_report) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waiting{fd, POLLIN, 0};
        // Where a temporary file lies about, signals wait for its end.
        const int ready = left > 0 && !SparseFile::told_to_end()
                              ? poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, glance_ms)))
                              : 0;
        if ((ready < 0 && errno == EINTR) || (ready == 0 && left > glance_ms && !SparseFile::told_to_end())) {
            continue;
        }
        std::array<char, 4096> buffer;
        const ssize_t got = ready > 0 ? read(fd, buffer.data(), buffer.size()) : -1;
        if (got < 0) {
            return std::nullopt;
        }
        if (got == 0) {
            return report;
        }
        report.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return std::nullopt;
}

bool seal(int fd) {
    return lseek(fd, 0, SEEK_SET) == 0 &&
           fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
}

constexpr std::size_t max_sentence = 8192;

/// The memory files of one entry.
struct Memory {
    UniqueFd kernel, initrd;

    [[nodiscard]] EntryFds fds() const { return {kernel.get(), initrd.get()}; }
};

Result<Memory> memory_for_entry() {
    auto kernel = memory_file("kernel");
    auto initrd = memory_file("initrd");
    if (!kernel || !initrd) {
        return !kernel ? kernel.error() : initrd.error();
    }
    return Memory{*std::move(kernel), *std::move(initrd)};
}

/// Takes one entry off the texts from `at` on. They have been made printable, but by a process that has read the image.
std::optional<EntryFiles> take_entry(const std::vector<std::string>& texts, std::size_t& at, Memory memory) {
    if (texts.size() - at < 4) {
        return std::nullopt;
    }
    EntryFiles files;
    files.title = printable(texts[at], max_sentence);
    files.kernel_path = printable(texts[at + 1], max_sentence);
    files.cmdline = texts[at + 2];
    const std::size_t count = std::strtoul(texts[at + 3].c_str(), nullptr, 10);
    at += 4;
    if (count > texts.size() - at || !seal(memory.kernel.get()) || !seal(memory.initrd.get())) {
        return std::nullopt;
    }
    for (; files.initrd_paths.size() < count; at++) {
        files.initrd_paths.push_back(printable(texts[at], max_sentence));
    }
    files.kernel = std::move(memory.kernel);
    if (count > 0) {
        files.initrd = std::move(memory.initrd);
    }
    return files;
}

Result<BootFiles> from_report(const BootRequest& request, const std::string& bytes, Memory first, Memory second) {
    const auto texts = unpack_report(bytes);
    if (texts && texts->size() == 2 && texts->front() == "error") {
        return about(request.image, printable((*texts)[1], max_sentence));
    }
    std::vector<std::string> offers;
    std::size_t at = 4;
    if (texts && texts->size() > at && texts->front() == "found") {
        const std::size_t count = std::min(std::strtoul((*texts)[3].c_str(), nullptr, 10), texts->size() - at);
        for (; offers.size() < count; at++) {
            offers.push_back(printable((*texts)[at], max_sentence));
        }
    }
    auto entry = texts && texts->size() > at && texts->front() == "found" ? take_entry(*texts, at, std::move(first))
                                                                          : std::nullopt;
    if (!entry) {
        return about(request.image, "the process that reads it ended unexpectedly: the image is damaged");
    }
    BootFiles files{*std::move(entry),
                    printable((*texts)[1], max_sentence),
                    printable((*texts)[2], max_sentence),
                    std::move(offers),
                    {}};
    if (at < texts->size()) {
        files.next = take_entry(*texts, at, std::move(second));
    }
    return files;
}

} // namespace

Result<BootFiles> find_boot_files(const BootRequest& request) {
    const auto deadline = Clock::now() + request.limit;
    std::unique_ptr<SparseFile> sparse;
    ServedDisk served;
    if (request.server) {
        auto made = SparseFile::make(request.server->bytes);
        if (!made) {
            return about(request.image, made.error().message);
        }
        sparse = *std::move(made);
        served = {{request.server->socket, request.server->memory, sparse->fd()},
                  request.server->bytes,
                  request.server->max_read};
    }
    const auto image = sparse ? Result<std::string>{sparse->path()} : check_image(request.image);
    if (!image) {
        return image.error();
    }
    const auto program = open_program();
    auto first = memory_for_entry();
    auto second = memory_for_entry();
    if (!program) {
        return about(request.image, program.error().message);
    }
    if (!first || !second) {
        return about(request.image, (!first ? first : second).error().message);
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return about(request.image, std::string{"cannot be read ("} + std::strerror(errno) + ")");
    }
    const UniqueFd reading{ends[0]};
    UniqueFd writing{ends[1]};
    const pid_t child = fork();
    if (child < 0) {
        return about(request.image, std::string{"cannot be read ("} + std::strerror(errno) + ")");
    }
    if (child == 0) {
        become_finder({*image, request.entry, writing.get(), first->fds(), second->fds(), served}, program->get());
    }
    setpgid(child, child); // whoever of us is first
    writing = UniqueFd{};
    const auto report = read_report(reading.get(), deadline);
    kill(-child, SIGKILL); // its runner and reader, too, where they are not done
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!report) {
        return about(request.image, "what it boots was not found in time: the image is damaged, or this machine busy; "
                                    "name a kernel with --kernel");
    }
    return from_report(request, *report, *std::move(first), *std::move(second));
}

std::string with_console(const std::string& cmdline) {
    const auto words = words_of(cmdline);
    const bool named = std::any_of(words.begin(), words.end(), [](std::string_view word) {
        return word.starts_with("console=hvc") || word.starts_with("console=xvc");
    });
    return named ? cmdline : cmdline + (cmdline.empty() ? "" : " ") + "console=hvc0";
}

} // namespace parapet::bootdisk
