// SPDX-License-Identifier: Apache-2.0
// A small formatter for print() and print_to().
#include "guests/lib/console.hpp"

namespace parapet::guest {

namespace {

/// Where formatted characters go; drops what does not fit.
struct Sink {
    char* buffer;
    size_t size;
    size_t used = 0;

    void put(char c) {
        if (used + 1 < size) {
            buffer[used++] = c;
        }
    }
};

struct Spec {
    bool left = false;
    char pad = ' ';
    unsigned width = 0;
    bool is_long = false;
    char kind = 0;
};

Spec parse(const char*& at) {
    Spec spec;
    for (; *at == '0' || *at == '-'; ++at) {
        if (*at == '0') {
            spec.pad = '0';
        } else {
            spec.left = true;
        }
    }
    for (; *at >= '0' && *at <= '9'; ++at) {
        spec.width = spec.width * 10 + static_cast<unsigned>(*at - '0');
    }
    for (; *at == 'l' || *at == 'z'; ++at) {
        spec.is_long = true;
    }
    spec.kind = *at;
    return spec;
}

void put_text(Sink& sink, const Spec& spec, const char* text, size_t length) {
    const size_t fill = spec.width > length ? spec.width - length : 0;
    for (size_t i = 0; !spec.left && i < fill; ++i) {
        sink.put(spec.pad);
    }
    for (size_t i = 0; i < length; ++i) {
        sink.put(text[i]);
    }
    for (size_t i = 0; spec.left && i < fill; ++i) {
        sink.put(' ');
    }
}

void put_number(Sink& sink, const Spec& spec, uint64_t value, unsigned base, bool negative) {
    char digits[24];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    if (negative) {
        digits[--at] = '-';
    }
    put_text(sink, spec, digits + at, sizeof(digits) - at);
}

void put_argument(Sink& sink, const Spec& spec, va_list& arguments) {
    switch (spec.kind) {
    case 's': {
        const char* text = va_arg(arguments, const char*);
        size_t length = 0;
        while (text[length] != 0) {
            ++length;
        }
        put_text(sink, spec, text, length);
        break;
    }
    case 'c':
        sink.put(static_cast<char>(va_arg(arguments, int)));
        break;
    case 'd': {
        const long value = spec.is_long ? va_arg(arguments, long) : va_arg(arguments, int);
        put_number(sink, spec, value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value), 10,
                   value < 0);
        break;
    }
    case 'u':
    case 'x': {
        const uint64_t value = spec.is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
        put_number(sink, spec, value, spec.kind == 'u' ? 10 : 16, false);
        break;
    }
    case 'p':
        put_number(sink, spec, reinterpret_cast<uint64_t>(va_arg(arguments, void*)), 16, false);
        break;
    default:
        sink.put(spec.kind);
    }
}

} // namespace

size_t print_to_list(char* buffer, size_t size, const char* format, va_list& arguments) {
    Sink sink{buffer, size};
    for (const char* at = format; *at != 0; ++at) {
        if (*at != '%') {
            sink.put(*at);
            continue;
        }
        ++at;
        const Spec spec = parse(at);
        if (spec.kind == 0) {
            break;
        }
        put_argument(sink, spec, arguments);
    }
    buffer[sink.used] = 0;
    return sink.used;
}

void print(const char* format, ...) {
    char buffer[256];
    va_list arguments;
    va_start(arguments, format);
    const size_t length = print_to_list(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    console_write(buffer, length);
}

size_t print_to(char* buffer, size_t size, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const size_t length = print_to_list(buffer, size, format, arguments);
    va_end(arguments);
    return length;
}

} // namespace parapet::guest
