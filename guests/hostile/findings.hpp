// SPDX-License-Identifier: Apache-2.0
// What a guest that abuses devices has found, and the verdict of it.
#pragma once

namespace parapet::guest {

class Findings {
public:
    explicit Findings(const char* name) : name_{name} {}

    /// Notes a failure where `ok` is false. Returns `ok`.
    __attribute__((format(printf, 3, 4))) bool check(bool ok, const char* format, ...);
    /// Nothing can be found here: the reason is the verdict's.
    void skip(const char* reason) { skipped_ = reason; }
    /// Says the verdict. The guest's exit code.
    int finish();

private:
    const char* name_;
    const char* skipped_ = nullptr;
    unsigned failures_ = 0;
};

} // namespace parapet::guest
