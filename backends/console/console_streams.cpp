// SPDX-License-Identifier: Apache-2.0
// Opening the console's ends.
#include "backends/console/console_streams.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace parapet::console {
namespace {

Result<ConsoleStreams> open_stdio(const ConsoleConfig& config) {
    ConsoleStreams streams;
    auto out = PrivateFd::reopen(config.output_fd, PrivateFd::Direction::write);
    if (!out) {
        return Error{"the console's output is closed (" + std::string{std::strerror(errno)} +
                     "): give parapet an open standard output, or --console none"};
    }
    streams.out = std::move(*out);
    streams.out_name = "standard output";
    // Without a readable stdin (closed, or nobody writes to it any more) the console just has no input.
    if (auto in = PrivateFd::reopen(config.input_fd, PrivateFd::Direction::read)) {
        streams.in = std::move(*in);
        streams.in_is_tty = isatty(streams.in.get()) == 1;
    }
    return streams;
}

Result<ConsoleStreams> open_file(const ConsoleConfig& config) {
    // O_NONBLOCK: a FIFO without a reader is an error now, not a hang.
    const int how = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (config.append ? O_APPEND : O_TRUNC);
    const int fd = open(config.file.c_str(), how, 0666);
    if (fd < 0) {
        const std::string why = errno == ENXIO ? "it is a FIFO that nobody reads" : std::strerror(errno);
        return Error{"console file '" + config.file + "' cannot be written: " + why +
                     "; name a file in a folder you may write to"};
    }
    ConsoleStreams streams;
    streams.out = PrivateFd::adopt(fd);
    streams.out_name = "'" + config.file + "'";
    return streams;
}

} // namespace

Result<ConsoleStreams> open_console(const ConsoleConfig& config) {
    switch (config.kind) {
    case ConsoleConfig::Kind::stdio:
        return open_stdio(config);
    case ConsoleConfig::Kind::file:
        return open_file(config);
    case ConsoleConfig::Kind::none:
        break;
    }
    return ConsoleStreams{};
}

} // namespace parapet::console
