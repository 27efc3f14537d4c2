// SPDX-License-Identifier: Apache-2.0
// Runs inputs of core_fuzz without a fuzzer, so that any compiler's build does, and the sanitized one:
//   core_fuzz_replay FILE...   each is a pack (core_fuzz.corpus) or one input
//   core_fuzz_replay --pack PACK FOLDER     makes a pack of a folder's files
//   core_fuzz_replay --unpack PACK FOLDER   makes a file of each input
//
// A pack is a magic word, then for each input its length in bytes (32 bits, little endian) and its bytes.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::string_view MAGIC = "parapet core_fuzz corpus 1\n";

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void run(std::string_view input) {
    // Its own allocation, so that ASan sees a read past the end.
    const std::vector<std::uint8_t> bytes(input.begin(), input.end());
    (void)LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

/// The inputs of a file: of a pack, or the file itself. Empty: it is not what it should be.
std::vector<std::string> inputs_of(const std::string& path) {
    const std::string content = read_file(path);
    std::string_view left = content;
    if (!left.starts_with(MAGIC))
        return left.empty() ? std::vector<std::string>{} : std::vector{content};
    left.remove_prefix(MAGIC.size());
    std::vector<std::string> inputs;
    while (!left.empty()) {
        std::uint32_t length = 0;
        if (left.size() < sizeof length)
            return {};
        std::memcpy(&length, left.data(), sizeof length);
        left.remove_prefix(sizeof length);
        if (left.size() < length)
            return {};
        inputs.emplace_back(left.substr(0, length));
        left.remove_prefix(length);
    }
    return inputs;
}

int unpack(const std::string& from, const std::filesystem::path& folder) {
    const std::vector<std::string> inputs = inputs_of(from);
    for (std::size_t i = 0; i < inputs.size(); i++)
        std::ofstream{folder / std::to_string(i), std::ios::binary} << inputs[i];
    return inputs.empty() ? 1 : 0;
}

int pack(const std::string& to, const std::string& folder) {
    std::vector<std::string> inputs;
    for (const auto& entry : std::filesystem::directory_iterator{folder})
        inputs.push_back(read_file(entry.path()));
    std::sort(inputs.begin(), inputs.end(), [](const std::string& left, const std::string& right) {
        return left.size() != right.size() ? left.size() < right.size() : left < right;
    });
    std::ofstream file{to, std::ios::binary};
    file << MAGIC;
    for (const std::string& input : inputs) {
        const auto length = static_cast<std::uint32_t>(input.size());
        file.write(reinterpret_cast<const char*>(&length), sizeof length);
        file << input;
    }
    file.close();
    std::printf("%zu inputs\n", inputs.size());
    return file ? 0 : 1;
}

} // namespace

int main(int count, char** arguments) {
    if (count == 4 && std::string_view{arguments[1]} == "--pack")
        return pack(arguments[2], arguments[3]);
    if (count == 4 && std::string_view{arguments[1]} == "--unpack")
        return unpack(arguments[2], arguments[3]);
    for (int i = 1; i < count; i++) {
        const std::vector<std::string> inputs = inputs_of(arguments[i]);
        std::for_each(inputs.begin(), inputs.end(), run);
        std::printf("%s: %zu inputs\n", arguments[i], inputs.size());
        if (inputs.empty())
            return 1;
    }
    return count > 1 ? 0 : 2;
}
