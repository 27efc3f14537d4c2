// SPDX-License-Identifier: Apache-2.0
#include "vmm/store_service.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace parapet::vmm {

StoreService::StoreService(boost::asio::io_context& io, xenstore::RingTransport& ring, std::function<void()> notify)
    : io_{io}, ring_{ring}, notify_{std::move(notify)}, second_look_{io} {}

void StoreService::pump() {
    const auto moved = ring_.pump();
    if (moved.notify) {
        notify_();
        second_look_.expires_after(settling);
        second_look_.async_wait([this](const boost::system::error_code& error) {
            if (!error) {
                pump();
            }
        });
    }
    if (moved.again) {
        boost::asio::post(io_, [this] { pump(); });
    }
}

} // namespace parapet::vmm
