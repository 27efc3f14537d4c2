// SPDX-License-Identifier: Apache-2.0
// Mutations that know the records of core_fuzz's input: change one, insert, repeat, move or drop some, splice two
// inputs at a boundary. libFuzzer's own mutations work within a record.
#include "tests/fuzz/core_fuzz_input.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

using parapet::nucleus::fuzz::RECORD_BYTES;

extern "C" {
size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t* data1, size_t size1, const uint8_t* data2, size_t size2, uint8_t* out,
                                 size_t max_size, unsigned seed);
}

namespace {

using Random = std::minstd_rand;
using Bytes = std::vector<uint8_t>;

size_t below(Random& random, size_t count) {
    return count == 0 ? 0 : random() % count;
}

Bytes::iterator record_at(Bytes& bytes, size_t record) {
    return bytes.begin() + static_cast<std::ptrdiff_t>(record * RECORD_BYTES);
}

void change(Bytes& bytes, size_t record) {
    auto at = record_at(bytes, record);
    const size_t made = LLVMFuzzerMutate(&*at, RECORD_BYTES, RECORD_BYTES);
    std::fill(at + static_cast<std::ptrdiff_t>(made), at + RECORD_BYTES, uint8_t{0});
}

void insert_random(Bytes& bytes, size_t record, Random& random) {
    Bytes made(RECORD_BYTES);
    for (uint8_t& byte : made)
        byte = static_cast<uint8_t>(random() >> 7);
    bytes.insert(record_at(bytes, record), made.begin(), made.end());
}

void repeat(Bytes& bytes, size_t from, size_t to) {
    const Bytes copy(record_at(bytes, from), record_at(bytes, from + 1));
    bytes.insert(record_at(bytes, to), copy.begin(), copy.end());
}

} // namespace

size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    Random random{seed};
    Bytes bytes(data, data + size);
    bytes.resize(std::max<size_t>(1, (size + RECORD_BYTES - 1) / RECORD_BYTES) * RECORD_BYTES);
    for (size_t left = 1 + below(random, 3); left-- > 0;) {
        const size_t records = bytes.size() / RECORD_BYTES;
        switch (below(random, 10)) {
        case 0:
        case 1:
            insert_random(bytes, 1 + below(random, records), random);
            break;
        case 2:
            repeat(bytes, below(random, records), 1 + below(random, records));
            break;
        case 3: {
            const size_t first = below(random, records);
            const size_t last = std::min(records, first + 1 + below(random, 4));
            if (last - first < records)
                bytes.erase(record_at(bytes, first), record_at(bytes, last));
            break;
        }
        case 4:
            std::swap_ranges(record_at(bytes, records - 1), bytes.end(), record_at(bytes, below(random, records)));
            break;
        default:
            change(bytes, below(random, records));
        }
    }
    const size_t fits = std::min(bytes.size(), max_size);
    std::copy_n(bytes.begin(), fits, data);
    return fits;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t* data1, size_t size1, const uint8_t* data2, size_t size2, uint8_t* out,
                                 size_t max_size, unsigned seed) {
    Random random{seed};
    const size_t first = std::min(size1, below(random, size1 / RECORD_BYTES + 1) * RECORD_BYTES);
    const size_t second = std::min(size2, below(random, size2 / RECORD_BYTES + 1) * RECORD_BYTES);
    const size_t head = std::min(first, max_size);
    const size_t tail = std::min(size2 - second, max_size - head);
    std::copy_n(data1, head, out);
    std::copy_n(data2 + second, tail, out + head);
    return head + tail;
}
