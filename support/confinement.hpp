// SPDX-License-Identifier: Apache-2.0
// What every process of ours gives up before it hears a guest or a stranger, besides its seccomp filter:
// docs/security.md. What the host's kernel refuses or does not have is left out, unless said otherwise.
#pragma once

#include <cstdint>

namespace parapet {

/// Bits of capabilities, as in CapEff of /proc/PID/status.
using Capabilities = std::uint64_t;

/// Not PARAPET_SANDBOX=off, which leaves the confinement of a domain's processes out (debugging).
[[nodiscard]] bool confinement_wanted();

/// Those in effect.
[[nodiscard]] Capabilities capabilities();

/// All but `kept` go: from the bounding set (where the process may), permitted, effective, inheritable and ambient.
/// 0 or an errno.
[[nodiscard]] int drop_capabilities(Capabilities kept = 0);

/// No new privileges by executing, no core file, no debugger or reader of /proc/PID/mem with the same user, no
/// capabilities but `kept`. 0 or an errno. Of the whole process: before it has threads, whose capabilities are their
/// own.
[[nodiscard]] int give_up_privileges(Capabilities kept = 0);

/// Whether this can be opened (open()'s `flags`) without any capability; nothing changes by the question. So a right of
/// root's is kept only where it is needed.
[[nodiscard]] bool opens_without_capabilities(const char* path, int flags);

/// A mount namespace of its own with nothing in it, in a user namespace of its own where that takes one. What is open
/// stays usable; a path leads nowhere from then on. Only of a process with one thread. False: this host does not let
/// it, or not all of it.
[[nodiscard]] bool enter_empty_root();

/// enter_empty_root() made a user namespace: the kernel now shows this process all other users, root too, as
/// `unmapped_user`.
[[nodiscard]] bool has_own_user_namespace();
inline constexpr unsigned unmapped_user = 65534;

} // namespace parapet
