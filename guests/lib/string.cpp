// SPDX-License-Identifier: Apache-2.0
// The C functions that a compiler may call on its own, and string comparison.
#include <cstddef>

extern "C" {

void* memset(void* to, int value, size_t size) {
    void* at = to;
    asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}

void* memcpy(void* to, const void* from, size_t size) {
    void* at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void* memmove(void* to, const void* from, size_t size) {
    auto* target = static_cast<char*>(to);
    const auto* source = static_cast<const char*>(from);
    if (target <= source || target >= source + size) {
        return memcpy(to, from, size);
    }
    while (size-- != 0) {
        *const_cast<volatile char*>(target + size) = source[size];
    }
    return to;
}

int memcmp(const void* a, const void* b, size_t size) {
    const auto* left = static_cast<const unsigned char*>(a);
    const auto* right = static_cast<const unsigned char*>(b);
    for (size_t i = 0; i < size; ++i) {
        if (left[i] != right[i]) {
            return left[i] - right[i];
        }
    }
    return 0;
}

size_t strlen(const char* text) {
    size_t length = 0;
    while (*const_cast<const volatile char*>(text + length) != 0) {
        ++length;
    }
    return length;
}

int strncmp(const char* a, const char* b, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        if (a[i] != b[i] || a[i] == 0) {
            return static_cast<unsigned char>(a[i]) - static_cast<unsigned char>(b[i]);
        }
    }
    return 0;
}

int strcmp(const char* a, const char* b) {
    return strncmp(a, b, ~size_t{0});
}
}
