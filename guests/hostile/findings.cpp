// SPDX-License-Identifier: Apache-2.0
#include "guests/hostile/findings.hpp"

#include <cstdarg>

#include "guests/lib/console.hpp"

namespace parapet::guest {

bool Findings::check(bool ok, const char* format, ...) {
    if (!ok) {
        ++failures_;
        char reason[160];
        va_list arguments;
        va_start(arguments, format);
        print_to_list(reason, sizeof(reason), format, arguments);
        va_end(arguments);
        print("fail: %s\n", reason);
    }
    return ok;
}

int Findings::finish() {
    if (skipped_ != nullptr) {
        print("verdict: SKIP %s: %s\n", name_, skipped_);
        return 0;
    }
    print("verdict: %s %s\n", failures_ == 0 ? "PASS" : "FAIL", name_);
    return failures_ == 0 ? 0 : 1;
}

} // namespace parapet::guest
