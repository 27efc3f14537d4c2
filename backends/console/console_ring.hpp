// SPDX-License-Identifier: Apache-2.0
// The host's side of a guest's console page (`xencons_interface`). The guest owns the page and may write anything into
// it at any time, so every index is read once, checked, and only then used; the host's own indices are kept privately
// and only published to the page.
#pragma once

#include "pv-abi/console.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace parapet::console {

using abi::xencons_interface;

/// Outcome of one move of bytes through the ring.
struct RingMove {
    std::size_t bytes = 0;
    bool notify = false; ///< Tell the guest: its view of the ring has changed.
    bool broken = false; ///< The guest's index was impossible. Output: resynchronised; input: nothing put.
};

/// Not thread-safe: one thread of the host uses it. The page must outlive it.
class ConsoleRing {
public:
    explicit ConsoleRing(xencons_interface& shared);

    /// Copies up to `to.size()` bytes that the guest has written.
    RingMove take_output(std::span<char> to);

    /// Gives the guest as many of `from` as there is room for.
    RingMove put_input(std::span<const char> from);

private:
    xencons_interface* shared_;
    std::uint32_t out_cons_;
    std::uint32_t in_prod_;
};

} // namespace parapet::console
