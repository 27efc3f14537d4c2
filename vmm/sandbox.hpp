// SPDX-License-Identifier: Apache-2.0
// What this process may still ask of the host's kernel while its guest runs, should a guest ever get hold of it: use
// what it has open, make VMs, memory, threads and timers of its own, and serve who connects to its control socket. It
// opens no file, connects to nobody and starts no program. So a guest's reboot, which is a new VM in the same process,
// lives on DomainSources.
//
//   mount namespace   empty, where the user may make one
//   capabilities      none; no new privileges; not dumpable, no core file
//   Landlock          no file, no TCP, no signal to others (as far as the kernel has it)
//   seccomp           no call that takes a path; the list is in sandbox.cpp
#pragma once

#include "support/result.hpp"

namespace parapet::vmm {

/// For the whole process and for good; later calls do nothing. Before the first vCPU runs, after everything is open,
/// while the process has one thread (others are under seccomp only).
/// PARAPET_SANDBOX=off leaves it out (debugging). A refused call fails with EPERM; one that only an attacker makes
/// ends the process.
[[nodiscard]] Result<void> enter_sandbox();

/// Not PARAPET_SANDBOX=off.
[[nodiscard]] bool sandbox_wanted();

} // namespace parapet::vmm
