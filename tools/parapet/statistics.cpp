// SPDX-License-Identifier: Apache-2.0
// JSON and table output of statistics.
#include "tools/parapet/statistics.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

namespace parapet::cli {
namespace {

using Row = std::pair<std::string, std::string>;

std::string cell(const boost::json::value& value) {
    if (value.is_string()) {
        return std::string{std::string_view{value.get_string()}};
    }
    if (value.is_double()) {
        std::string text(64, '\0');
        text.resize(static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%.6g", value.get_double())));
        return text;
    }
    return boost::json::serialize(value);
}

void flatten(const boost::json::object& object, const std::string& prefix, std::vector<Row>& rows) {
    for (const auto& entry : object) {
        const std::string name = prefix + std::string{std::string_view{entry.key()}};
        if (const auto* nested = entry.value().if_object()) {
            flatten(*nested, name + ".", rows);
        } else {
            rows.emplace_back(name, cell(entry.value()));
        }
    }
}

} // namespace

Result<JsonSink> JsonSink::open(const JsonTarget& target) {
    if (!target.file.empty()) {
        // O_NONBLOCK only for the opening: a FIFO without a reader is an error, not a hang.
        const int fd =
            ::open(target.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
        if (fd < 0) {
            return Error{"--json file '" + target.file + "' cannot be written (" + std::strerror(errno) +
                         "): name a file in a folder you may write to"};
        }
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        return JsonSink{fd, "file '" + target.file + "'"};
    }
    const std::string name = "descriptor " + std::to_string(target.descriptor);
    const int flags = fcntl(target.descriptor, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        return Error{"--json " + name + " is not open for writing: open it in the shell, like " +
                     std::to_string(target.descriptor) + ">stats.json"};
    }
    const int fd = fcntl(target.descriptor, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return Error{"--json " + name + " cannot be used: " + std::strerror(errno)};
    }
    return JsonSink{fd, name};
}

JsonSink::JsonSink(JsonSink&& other) noexcept : fd_{std::exchange(other.fd_, -1)}, name_{std::move(other.name_)} {}

JsonSink::~JsonSink() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

Result<void> JsonSink::write(const boost::json::object& object) {
    const std::string text = boost::json::serialize(object) + "\n";
    std::string_view left = text;
    while (!left.empty()) {
        const ssize_t count = ::write(fd_, left.data(), left.size());
        if (count >= 0) {
            left.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno != EINTR) {
            return Error{"the statistics could not be written to " + name_ + ": " + std::strerror(errno)};
        }
    }
    return {};
}

std::string statistics_table(const boost::json::object& object) {
    std::vector<Row> rows;
    flatten(object, "", rows);
    std::size_t width = 0;
    for (const Row& row : rows) {
        width = std::max(width, row.first.size());
    }
    std::string table;
    for (const auto& [name, value] : rows) {
        table += "  " + name + std::string(width - name.size() + 2, ' ') + value + "\n";
    }
    return table;
}

} // namespace parapet::cli
