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
        look_later();
    }
    if (moved.again && !std::exchange(again_due_, true)) {
        boost::asio::post(io_, [this] {
            again_due_ = false;
            pump();
        });
    }
}

void StoreService::look_later() {
    if (std::exchange(look_due_, true)) {
        moved_since_ = true;
        return;
    }
    second_look_.expires_after(settling);
    second_look_.async_wait([this](const boost::system::error_code& error) {
        look_due_ = false;
        const bool too_soon = std::exchange(moved_since_, false); // for what moved while it was waited for
        if (!error) {
            pump();
            if (too_soon) {
                look_later();
            }
        }
    });
}

} // namespace parapet::vmm
