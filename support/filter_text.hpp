// SPDX-License-Identifier: Apache-2.0
// A seccomp filter in words: `parapet doctor --sandbox`, and the test that compares it with what a run calls.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace parapet {

struct FilterText {
    /// By name, under which conditions (none: always).
    using Calls = std::map<std::string, std::vector<std::string>>;

    std::string process; ///< whose filter it is
    bool allows = true;  ///< other calls are refused with EPERM; false: they are allowed
    Calls allowed, refused, deadly;
};

} // namespace parapet
