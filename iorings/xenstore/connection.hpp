// SPDX-License-Identifier: Apache-2.0
// One client of a Store, as a byte stream in each direction: requests in, replies and watch events out. Transport
// independent; bounded in memory whatever the client sends or fails to read.
#pragma once

#include "iorings/xenstore/store.hpp"
#include "pv-abi/xenstore.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace parapet::xenstore {

class Connection final : public EventSink {
public:
    /// The store outlives the connection.
    Connection(Store& store, DomId domid);
    ~Connection() override;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Takes bytes of requests and serves every request that is complete. Returns how many were taken: fewer than given
    /// when too many replies wait to be read (feed the rest after consume_output()), none when broken.
    std::size_t feed(std::span<const std::byte> bytes);

    /// The next bytes for the client, in one piece; empty if there are none now.
    [[nodiscard]] std::span<const std::byte> output() const;
    /// The client has taken the first `count` bytes of output().
    void consume_output(std::size_t count);

    /// The client claimed a payload beyond XENSTORE_PAYLOAD_MAX, so the stream cannot be followed any more. As with
    /// Xen's xenstored there is no reply; only reset() helps.
    [[nodiscard]] bool broken() const { return broken_; }
    /// Drops partial messages, queued output, watches and transactions.
    void reset();

    /// Called when output appears where there was none and the store is at rest: the listener may pump at once. Not
    /// called for what feed() itself gives rise to.
    void set_output_listener(std::function<void()> listener) { listener_ = std::move(listener); }

    [[nodiscard]] DomId domid() const override { return domid_; }
    void on_event(Watch& watch, std::string_view path) override;
    void on_settled() override;

    [[nodiscard]] Store& store() { return store_; }
    /// Bytes waiting for the client.
    [[nodiscard]] std::size_t queued_bytes() const { return queued_bytes_; }

private:
    friend class RequestHandler;
    struct Message {
        std::string bytes; ///< header and payload
        bool is_event = false;
    };

    [[nodiscard]] std::size_t missing() const;
    void serve();
    void enqueue(Message message, std::size_t position);
    bool enqueue_event(const std::string& payload);
    void refill_missed();

    Store& store_;
    DomId domid_;
    std::string input_; ///< a request not complete yet: at most a header and XENSTORE_PAYLOAD_MAX
    std::deque<Message> output_;
    std::size_t sent_ = 0; ///< bytes of output_.front() already taken
    std::size_t queued_bytes_ = 0;
    std::size_t replies_ = 0;
    std::size_t events_ = 0;
    std::size_t event_bytes_ = 0;
    std::map<std::uint32_t, Transaction> transactions_;
    std::uint32_t last_transaction_ = 0;
    std::function<void()> listener_;
    bool any_missed_ = false;
    bool serving_ = false;
    bool broken_ = false;
};

} // namespace parapet::xenstore
