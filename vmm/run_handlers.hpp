// SPDX-License-Identifier: Apache-2.0
// An io_context whose handlers may throw: whoever runs it has things to end in order whatever happens.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <utility>

namespace parapet::vmm {

/// Runs `io` until it is stopped, has nothing more to do, or `until` has come. What a handler throws goes to
/// `failed(const std::exception&)`, and the next handler is served.
template <typename Failed>
void run_handlers(boost::asio::io_context& io, std::chrono::steady_clock::time_point until, Failed failed) {
    for (;;) {
        try {
            if (until == std::chrono::steady_clock::time_point::max()) {
                (void)io.run();
            } else {
                (void)io.run_until(until);
            }
            return;
        } catch (const std::exception& error) {
            failed(error);
        }
    }
}
template <typename Failed>
void run_handlers(boost::asio::io_context& io, Failed failed) {
    run_handlers(io, std::chrono::steady_clock::time_point::max(), std::move(failed));
}

} // namespace parapet::vmm
