// SPDX-License-Identifier: Apache-2.0
// GRUB's `test` command, also spelled `[ ... ]`.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace parapet::bootdisk {

/// `words`: without the command's name and the closing bracket. `exists(path)` answers -e, -f, -s and -d.
bool evaluate_test(const std::vector<std::string>& words, const std::function<bool(const std::string&)>& exists);

} // namespace parapet::bootdisk
