// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/docs/markdown.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <sstream>

namespace parapet::docs_test {

const std::filesystem::path& source_dir() {
    static const std::filesystem::path folder{PARAPET_SOURCE_DIR};
    return folder;
}

std::string read_file(const std::filesystem::path& file) {
    std::ifstream stream{file};
    EXPECT_TRUE(stream.good()) << "cannot read " << file;
    return {std::istreambuf_iterator<char>{stream}, {}};
}

std::vector<std::string> lines_of(const std::string& text) {
    std::istringstream stream{text};
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

std::vector<std::string> cells_of(const std::string& line) {
    std::vector<std::string> cells;
    if (line.size() < 2 || line.front() != '|' || line.back() != '|') {
        return cells;
    }
    std::istringstream stream{line.substr(1)};
    for (std::string cell; std::getline(stream, cell, '|');) {
        const auto first = cell.find_first_not_of(' ');
        const auto last = cell.find_last_not_of(' ');
        cells.push_back(first == std::string::npos ? std::string{} : cell.substr(first, last - first + 1));
    }
    return cells;
}

std::string code_of(const std::string& cell) {
    const bool code = cell.size() > 2 && cell.front() == '`' && cell.back() == '`';
    const std::string name = code ? cell.substr(1, cell.size() - 2) : std::string{};
    return name.find('`') == std::string::npos ? name : std::string{};
}

} // namespace parapet::docs_test
