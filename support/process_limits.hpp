// SPDX-License-Identifier: Apache-2.0
// What processes that confine themselves have in common.
#pragma once

#include <algorithm>
#include <sys/resource.h>

namespace parapet {

/// Built with a sanitizer: its runtime needs more calls, and reserves address space beyond any limit.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool instrumented = true;
#else
inline constexpr bool instrumented = false;
#endif

/// At most that much from now on; whoever has less already keeps that, as it could not be raised. False: see errno.
[[nodiscard]] inline bool narrow_limit(__rlimit_resource resource, rlim_t most) {
    rlimit limit{};
    if (getrlimit(resource, &limit) != 0) {
        return false;
    }
    limit.rlim_max = std::min(limit.rlim_max, most);
    limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max);
    return setrlimit(resource, &limit) == 0;
}

} // namespace parapet
