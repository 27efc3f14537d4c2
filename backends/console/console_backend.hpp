// SPDX-License-Identifier: Apache-2.0
// A domain's console: moves bytes between the guest's ring and the streams, on an io_context, without ever blocking it.
//
//   guest ring ──take──> output queue ──write──> sink       a slow sink fills the queue, then the guest's own ring
//   guest ring <──put─── input queue  <──read─── source     a guest that does not read stops us reading (a terminal is
//                                                            still read, for Ctrl-], and what does not fit is dropped)
#pragma once

#include "backends/console/console_ring.hpp"
#include "backends/console/console_streams.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace parapet::console {

/// Called on the io_context's thread; any may be empty. None may destroy the backend.
struct ConsoleHooks {
    std::function<void()> notify_guest;                     ///< Raise the console's event channel.
    std::function<void(std::string_view)> on_output;        ///< Every byte of the guest, in order, whatever the sink.
    std::function<void(std::string_view reason)> on_closed; ///< Once: the sink or terminal is gone. Output is then
                                                            ///< discarded; the owner may go on or stop the domain.
    std::function<void()> on_escape;                        ///< Ctrl-] was typed.
    std::function<void(std::string_view)> log;              ///< One sentence for the log.
};

/// Use it only on the io_context's thread. Destroying it cancels its waits; the io_context may go on running.
class ConsoleBackend {
public:
    static constexpr std::size_t queue_size = 64 * 1024;

    /// The ring's page and the io_context must outlive the backend. `streams` may be shared with a later backend.
    ConsoleBackend(boost::asio::io_context& io, ConsoleRing ring, std::shared_ptr<ConsoleStreams> streams,
                   ConsoleHooks hooks);
    ~ConsoleBackend();
    ConsoleBackend(const ConsoleBackend&) = delete;
    ConsoleBackend& operator=(const ConsoleBackend&) = delete;

    /// Starts reading input and watching the sink.
    void start();

    /// The guest signalled its console event channel: it wrote output or read input.
    void on_guest_kick();

    /// More input, from elsewhere than the streams: as much as there is room for. Returns how many bytes were taken.
    std::size_t type(std::span<const char> bytes);

    /// Ends input, then writes what is left in the ring and the queue for at most `limit`; true if all was written.
    /// The one call that may wait. The io_context need not be running.
    bool finish(std::chrono::milliseconds limit);

    [[nodiscard]] bool closed() const;

private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace parapet::console
