// SPDX-License-Identifier: Apache-2.0
// The project's documentation as the tests read it: files, and the rows of their tables.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace parapet::docs_test {

[[nodiscard]] const std::filesystem::path& source_dir();
/// The whole file; a test failure and "" where it cannot be read.
[[nodiscard]] std::string read_file(const std::filesystem::path& file);
[[nodiscard]] std::vector<std::string> lines_of(const std::string& text);

/// The cells of a line `| a | b | c |`, blanks trimmed; empty for other lines.
[[nodiscard]] std::vector<std::string> cells_of(const std::string& line);
/// "name" of "`name`", or "" if the cell is not exactly one piece of code.
[[nodiscard]] std::string code_of(const std::string& cell);

} // namespace parapet::docs_test
