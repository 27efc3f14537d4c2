// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/grub_image.hpp"

#include "support/file_status.hpp"
#include "support/unique_fd.hpp"
#include "vmm/bootdisk/text_lines.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

constexpr unsigned max_runs = 2000;
constexpr std::size_t max_volumes = 64;
constexpr std::size_t max_complaint = 4096;

/// GRUB also knows (host), this machine's own files, and (proc): such names are never passed on.
bool is_on_the_disk(std::string_view name) {
    const bool known = name == "loop0" || name.starts_with("loop0,") || name.starts_with("lvm/") ||
                       name.starts_with("md/") || name.starts_with("ldm/");
    return known && name.size() <= 200 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,/._+-") ==
               std::string_view::npos;
}

/// What stands between two marks, or nothing.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
    const std::size_t start = text.find(before);
    if (start == std::string_view::npos) {
        return {};
    }
    text.remove_prefix(start + before.size());
    return text.substr(0, text.find(after));
}

/// Names of the disk's devices, and what is printed of each.
std::vector<std::pair<std::string_view, std::string_view>> device_lines(std::string_view text) {
    std::vector<std::pair<std::string_view, std::string_view>> lines;
    for (std::string_view line : lines_of(text)) {
        if (!line.starts_with("Device ") && !line.starts_with("Partition ")) {
            continue;
        }
        line.remove_prefix(line.find(' ') + 1);
        const std::string_view name = line.substr(0, line.find(':'));
        if (is_on_the_disk(name)) {
            lines.emplace_back(name, line);
        }
    }
    return lines;
}

bool append_from(int fd, std::string& text, std::size_t most) {
    std::array<char, 16384> buffer;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got > 0) {
        text.append(buffer.data(), std::min(static_cast<std::size_t>(got), most + 1 - std::min(most, text.size())));
    }
    return got > 0 || (got < 0 && errno == EINTR);
}

struct Pipe {
    UniqueFd read_end, write_end;
    bool open() {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return false;
        }
        read_end = UniqueFd{ends[0]};
        write_end = UniqueFd{ends[1]};
        return true;
    }
};

/// Reads both pipes to their ends; false if there is more than wanted.
bool collect(int output_fd, std::string& output, std::size_t most, int complaint_fd, std::string& complaint) {
    pollfd waiting[2] = {{output_fd, POLLIN, 0}, {complaint_fd, POLLIN, 0}};
    while (waiting[0].fd >= 0 || waiting[1].fd >= 0) {
        if (poll(waiting, 2, -1) < 0 && errno != EINTR) {
            return false;
        }
        if (waiting[0].fd >= 0 && waiting[0].revents != 0 && !append_from(waiting[0].fd, output, most)) {
            waiting[0].fd = -1;
        }
        if (waiting[1].fd >= 0 && waiting[1].revents != 0 && !append_from(waiting[1].fd, complaint, max_complaint)) {
            waiting[1].fd = -1;
        }
        if (output.size() > most || complaint.size() > max_complaint) {
            return false;
        }
    }
    return true;
}

} // namespace

std::vector<std::string> parse_unread(std::string_view text) {
    std::vector<std::string> devices;
    std::set<std::string, std::less<>> with_partitions;
    for (const auto& [name, line] : device_lines(text)) {
        if (name.find(',') != std::string_view::npos) {
            with_partitions.emplace(name.substr(0, name.find(',')));
        }
        if (line.find("No known filesystem") != std::string_view::npos && devices.size() < max_volumes) {
            devices.emplace_back(name);
        }
    }
    std::erase_if(devices, [&](const std::string& device) { return with_partitions.count(device) != 0; });
    return devices;
}

std::vector<Volume> parse_volumes(std::string_view text) {
    std::vector<Volume> volumes;
    for (const auto& [name, line] : device_lines(text)) {
        if (line.find("No known filesystem") != std::string_view::npos ||
            line.find("Filesystem type") == std::string_view::npos || volumes.size() == max_volumes) {
            continue;
        }
        // The UUID stands last; a label may hold anything.
        const std::size_t uuid =
            line.rfind(", UUID ") != std::string_view::npos ? line.rfind(", UUID ") + 7 : line.rfind(" UUID ") + 6;
        const std::string_view type = between(line, "Filesystem type ", " ");
        Volume volume{std::string{name},
                      std::string{between(line, "Label `", "'")},
                      {},
                      type == "ext*" ? "ext2" : std::string{type.substr(0, type.find(','))}};
        if (line.rfind(" UUID ") != std::string_view::npos) {
            volume.uuid = line.substr(uuid, line.find(' ', uuid) - uuid);
        }
        volumes.push_back(std::move(volume));
    }
    return volumes;
}

Result<std::unique_ptr<GrubImage>> GrubImage::open(ProgramRunner runner) {
    std::unique_ptr<GrubImage> disk{new GrubImage{std::move(runner)}};
    const auto answer = disk->run({Command::list, "-l"}, -1, max_text);
    if (!answer) {
        return answer.error();
    }
    if (answer->status < 0) {
        return Error{"its partition table or file systems cannot be read: they are damaged"};
    }
    if (answer->status != 0) {
        return Error{"it cannot be read: " + printable(answer->complaint)};
    }
    disk->volumes_ = parse_volumes(answer->output);
    disk->unread_ = parse_unread(answer->output);
    return disk;
}

std::string GrubImage::name_of(const FilePlace& place) const {
    return "(" + volumes_.at(place.volume).name + ")" + place.path;
}

ProgramRunner::Question GrubImage::contents_of(const FilePlace& place) const {
    return {Command::print, name_of(place), place.offset, place.length};
}

Result<GrubImage::Answer> GrubImage::run(const ProgramRunner::Question& question, int fd, std::size_t most) {
    if (++runs_ > max_runs) {
        return Error{"it takes too many steps to find out what it boots"};
    }
    Pipe output;
    Pipe complaint;
    if (!complaint.open() || !output.open()) {
        return Error{std::string{"it cannot be read: "} + std::strerror(errno)};
    }
    if (!runner_.begin(question, fd >= 0 ? fd : output.write_end.get(), complaint.write_end.get())) {
        return Error{"it cannot be read: the process that starts its reader is gone, or a name is too long"};
    }
    output.write_end = UniqueFd{};
    complaint.write_end = UniqueFd{};
    Answer answer;
    if (!collect(output.read_end.get(), answer.output, most, complaint.read_end.get(), answer.complaint)) {
        runner_.stop();
    }
    answer.status = runner_.wait();
    if (answer.status == ProgramRunner::not_watched) {
        return Error{
            "looking into a disk that is no raw image takes Linux 5.5; name a kernel with --kernel, or convert "
            "the image with qemu-img convert -O raw"};
    }
    if (answer.status == ProgramRunner::not_started) {
        return Error{"grub-fstest could not be started to read it; install the package grub-common anew"};
    }
    return answer;
}

std::optional<std::string> GrubImage::read(const FilePlace& place) {
    if (place.volume >= volumes_.size()) {
        return std::nullopt;
    }
    auto answer = run(contents_of(place), -1, max_text);
    if (!answer || answer->status != 0 || answer->output.size() > max_text) {
        return std::nullopt;
    }
    return std::move(answer->output);
}

std::vector<std::string> GrubImage::list(const FilePlace& place) {
    if (place.volume >= volumes_.size()) {
        return {};
    }
    std::string name = name_of(place);
    name += name.ends_with('/') ? "" : "/";
    const auto known = listings_.find(name);
    if (known != listings_.end()) {
        return known->second;
    }
    std::vector<std::string> names;
    const auto answer = run({Command::list, name}, -1, max_text);
    if (answer && answer->status == 0) {
        for (const std::string_view line : lines_of(answer->output)) {
            for (const std::string_view word : words_of(line)) {
                names.emplace_back(word);
            }
        }
    }
    return listings_[name] = names;
}

bool GrubImage::exists(const FilePlace& place) {
    const std::size_t slash = place.path.rfind('/');
    const std::string name = place.path.substr(slash + 1);
    const auto names = list({place.volume, place.path.substr(0, slash + 1)});
    return name.empty() ? !names.empty() : std::any_of(names.begin(), names.end(), [&](const std::string& entry) {
        return entry == name || entry == name + "/";
    });
}

Result<std::uint64_t> GrubImage::copy(const FilePlace& place, int fd, std::uint64_t limit) {
    if (place.volume >= volumes_.size()) {
        return Error{"lies on a device that is not on this disk"};
    }
    struct stat before {};
    struct stat after {};
    if (status_of(fd, before) != 0) {
        return Error{std::string{"cannot be copied: "} + std::strerror(errno)};
    }
    const auto answer = run(contents_of(place), fd, 0);
    if (!answer) {
        return answer.error();
    }
    const std::uint64_t size =
        status_of(fd, after) == 0 ? static_cast<std::uint64_t>(after.st_size - before.st_size) : 0;
    if (answer->status < 0 || size > limit) {
        return Error{"is larger than " + std::to_string(limit >> 20) + " MiB, or damaged"};
    }
    if (answer->status != 0) {
        return Error{"cannot be read (" + printable(answer->complaint.substr(0, answer->complaint.find('\n'))) + ")"};
    }
    if (size == 0) {
        return Error{"is empty"};
    }
    return size;
}

std::optional<std::string> GrubImage::read_sectors(const std::string& device, std::uint64_t first,
                                                   std::uint32_t count) {
    if (!is_on_the_disk(device) || count == 0 || count > max_text / 512) {
        return std::nullopt;
    }
    const std::string blocks = "(" + device + ")" + std::to_string(first) + "+" + std::to_string(count);
    auto answer = run({Command::print, blocks}, -1, max_text);
    if (!answer || answer->status != 0 || answer->output.size() != std::size_t{count} * 512) {
        return std::nullopt;
    }
    return std::move(answer->output);
}

} // namespace parapet::bootdisk
