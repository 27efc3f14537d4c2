// SPDX-License-Identifier: Apache-2.0
// Words of the command line in start_info.
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest {

bool command_line_value(const char* name, char* value, size_t size) {
    const auto* at = reinterpret_cast<const char*>(start_info().cmd_line);
    const auto* const end = at + MAX_GUEST_CMDLINE;
    const size_t name_length = strlen(name);
    while (at < end && *at != 0) {
        const char* word = at;
        while (at < end && *at != 0 && *at != ' ') {
            ++at;
        }
        const auto length = static_cast<size_t>(at - word);
        while (at < end && *at == ' ') {
            ++at;
        }
        if (length < name_length || strncmp(word, name, name_length) != 0) {
            continue;
        }
        if (length > name_length && word[name_length] != '=') {
            continue;
        }
        const size_t skip = length > name_length ? name_length + 1 : length;
        const size_t take = length - skip < size - 1 ? length - skip : size - 1;
        memcpy(value, word + skip, take);
        value[take] = 0;
        return true;
    }
    return false;
}

uint64_t command_line_number(const char* name, uint64_t otherwise) {
    char text[24];
    if (!command_line_value(name, text, sizeof(text)) || text[0] < '0' || text[0] > '9') {
        return otherwise;
    }
    uint64_t number = 0;
    for (const char* at = text; *at >= '0' && *at <= '9'; ++at) {
        number = number * 10 + static_cast<uint64_t>(*at - '0');
    }
    return number;
}

} // namespace parapet::guest
