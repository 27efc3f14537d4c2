// SPDX-License-Identifier: Apache-2.0
// The fuzzer's input: records of equal length, a step each, so that a mutation of one step leaves the others what they
// were (core_fuzz_mutator.cpp). A step that asks for more bytes than its record has gets bytes that follow from it.
#pragma once

#include "hypercall-emu/core/types.hpp"

#include <cstddef>
#include <cstring>

namespace parapet::nucleus::fuzz {

inline constexpr size_t RECORD_BYTES = 32;

/// The bytes of one record, and what follows from them.
class Record {
public:
    Record(const u8* data, size_t size) : size_{size < RECORD_BYTES ? size : RECORD_BYTES} {
        std::memcpy(bytes_, data, size_);
        for (size_t i = 0; i < size_; i++)
            state_ = (state_ ^ bytes_[i]) * 0x100000001b3;
    }

    u8 byte() {
        if (at_ < size_)
            return bytes_[at_++];
        state_ += 0x9e3779b97f4a7c15;
        u64 mixed = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return static_cast<u8>(mixed >> 56);
    }
    u16 half() {
        const u16 low = byte();
        return static_cast<u16>(low | byte() << 8);
    }
    u32 word() {
        const u32 low = half();
        return low | static_cast<u32>(half()) << 16;
    }
    u64 quad() {
        const u64 low = word();
        return low | static_cast<u64>(word()) << 32;
    }
    /// 0 ... count - 1.
    u64 below(u64 count) { return count <= 256 ? byte() % count : half() % count; }
    /// True in `of_256` of 256 cases.
    bool chance(unsigned of_256) { return byte() < of_256; }
    template <typename T, size_t N>
    const T& one_of(const T (&choices)[N]) {
        return choices[below(N)];
    }

private:
    u8 bytes_[RECORD_BYTES]{};
    size_t size_, at_ = 0;
    u64 state_ = 0xcbf29ce484222325;
};

} // namespace parapet::nucleus::fuzz
