// SPDX-License-Identifier: Apache-2.0
// What the conformance guests of network interfaces share: two interfaces with a cable between them, frames that go
// over it.
#pragma once

#include "guests/conformance/check.hpp"
#include "guests/lib/frames.hpp"
#include "guests/lib/grants.hpp"

namespace parapet::guest {

/// Opens and connects interface `id`. False: the test is skipped (there is none) or has failed.
bool start_net(NetDevice& device, unsigned id, const NetOptions& options = {});
/// Waits until the partner of this interface is connected too.
bool expect_carrier(NetDevice& device, bool up = true);
/// Sends a frame from one to the other and checks what comes, and how: unfinished (blank, large) as sent, if
/// `unfinished`, or with a full checksum.
bool expect_passes(NetDevice& from, NetDevice& to, const FrameKind& kind, unsigned payload, bool unfinished = true,
                   unsigned piece = page_size, unsigned queue = 0);
/// The next frame of ours that comes, into a buffer that is good until the next call; its length, 0 for none.
long next_frame(NetDevice& device, const unsigned char*& bytes, FrameFlags& flags, unsigned milliseconds = 2'000);
void end_net(NetDevice& device);

} // namespace parapet::guest
