// SPDX-License-Identifier: Apache-2.0
#include "iorings/xenbus/backend_device.hpp"

#include <charconv>

namespace parapet::xenbus {

std::optional<std::string> FrontendNodes::text(std::string_view name) const {
    auto value = store_.read(directory_ + '/' + std::string{name});
    return value.ok() ? std::optional{*std::move(value)} : std::nullopt;
}

std::optional<std::uint64_t> FrontendNodes::number(std::string_view name, std::uint64_t most) const {
    const auto value = text(name);
    if (!value) {
        return std::nullopt;
    }
    std::uint64_t number = 0;
    const char* const end = value->data() + value->size();
    const auto [stop, error] = std::from_chars(value->data(), end, number);
    return error == std::errc{} && stop == end && number <= most ? std::optional{number} : std::nullopt;
}

} // namespace parapet::xenbus
