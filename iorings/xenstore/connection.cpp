// SPDX-License-Identifier: Apache-2.0
// Message framing, and the bounded queue of replies and events.
#include "iorings/xenstore/connection.hpp"
#include "iorings/xenstore/requests.hpp"

#include <algorithm>
#include <cstring>

namespace parapet::xenstore {
namespace {

using Header = abi::xsd_sockmsg;

Header header_of(std::string_view message) {
    Header header{};
    std::memcpy(&header, message.data(), sizeof header);
    return header;
}

std::string make_message(std::uint32_t type, std::uint32_t req_id, std::uint32_t tx_id, std::string_view payload) {
    const Header header{type, req_id, tx_id, static_cast<std::uint32_t>(payload.size())};
    std::string message(sizeof header, '\0');
    std::memcpy(message.data(), &header, sizeof header);
    return message.append(payload);
}

} // namespace

Connection::Connection(Store& store, DomId domid) : store_{store}, domid_{domid} {}

Connection::~Connection() {
    store_.forget(*this);
}

/// Bytes until the message being read is complete, as far as is known.
std::size_t Connection::missing() const {
    if (input_.size() < sizeof(Header))
        return sizeof(Header) - input_.size();
    return sizeof(Header) + header_of(input_).len - input_.size();
}

std::size_t Connection::feed(std::span<const std::byte> bytes) {
    std::size_t taken = 0;
    if (serving_) // a host callback must not feed
        return 0;
    while (!broken_ && taken < bytes.size() && replies_ < store_.quotas().replies_queued) {
        const auto part = std::min(missing(), bytes.size() - taken);
        input_.append(reinterpret_cast<const char*>(bytes.data() + taken), part);
        taken += part;
        if (input_.size() == sizeof(Header) && header_of(input_).len > abi::XENSTORE_PAYLOAD_MAX) {
            reset();
            broken_ = true;
        } else if (missing() == 0) {
            serve();
        }
    }
    return taken;
}

// The reply goes before the events that its request caused, so it is inserted where the queue ended before.
void Connection::serve() {
    serving_ = true;
    const std::size_t position = output_.size();
    const Header header = header_of(input_);
    const std::string payload = input_.substr(sizeof(Header));
    input_.clear();
    auto reply = RequestHandler{*this, header, payload}.run();
    if (reply.ok() && reply->size() > abi::XENSTORE_PAYLOAD_MAX)
        reply = Errno::E2BIG_;
    const std::string error = reply.ok() ? std::string{} : std::string{error_name(reply.error())} + '\0';
    enqueue({reply.ok() ? make_message(header.type, header.req_id, header.tx_id, *reply)
                        : make_message(abi::XS_ERROR, header.req_id, header.tx_id, error),
             false},
            position);
    store_.settle();
    serving_ = false;
}

void Connection::enqueue(Message message, std::size_t position) {
    const bool first = output_.empty();
    queued_bytes_ += message.bytes.size();
    (message.is_event ? events_ : replies_) += 1;
    event_bytes_ += message.is_event ? message.bytes.size() : 0;
    output_.insert(output_.begin() + static_cast<std::ptrdiff_t>(position), std::move(message));
    if (first && !serving_ && listener_)
        store_.wake_when_settled(*this);
}

void Connection::on_settled() {
    if (!output_.empty() && !serving_ && listener_)
        listener_();
}

void Connection::on_event(Watch& watch, std::string_view path) {
    if (broken_)
        return;
    const auto payload = std::string{watch.shown(path)} + '\0' + watch.token + '\0';
    if (payload.size() > abi::XENSTORE_PAYLOAD_MAX)
        return;
    if (!enqueue_event(payload))
        watch.missed = any_missed_ = true;
}

/// False: no room. An event that waits already is not queued twice.
bool Connection::enqueue_event(const std::string& payload) {
    Message event{make_message(abi::XS_WATCH_EVENT, 0, 0, payload), true};
    const auto untouched = output_.begin() + (sent_ > 0 ? 1 : 0);
    if (std::any_of(untouched, output_.end(), [&](const Message& m) { return m.is_event && m.bytes == event.bytes; }))
        return true;
    const Quotas& quotas = store_.quotas();
    if (events_ >= quotas.events_queued || event_bytes_ + event.bytes.size() > quotas.event_bytes_queued)
        return false;
    enqueue(std::move(event), output_.size());
    return true;
}

std::span<const std::byte> Connection::output() const {
    if (output_.empty() || serving_)
        return {};
    return std::as_bytes(std::span{output_.front().bytes}).subspan(sent_);
}

void Connection::consume_output(std::size_t count) {
    while (count > 0 && !output_.empty() && !serving_) {
        const Message& front = output_.front();
        const auto part = std::min(count, front.bytes.size() - sent_);
        sent_ += part;
        count -= part;
        queued_bytes_ -= part;
        if (sent_ < front.bytes.size())
            return;
        (front.is_event ? events_ : replies_) -= 1;
        event_bytes_ -= front.is_event ? front.bytes.size() : 0;
        sent_ = 0;
        output_.pop_front();
    }
    if (any_missed_ && events_ == 0)
        refill_missed();
}

/// One event with its own path for each watch that lost some.
void Connection::refill_missed() {
    while (Watch* watch = store_.watches().first_missed(*this)) {
        const auto payload = std::string{watch->shown(watch->path)} + '\0' + watch->token + '\0';
        if (payload.size() <= abi::XENSTORE_PAYLOAD_MAX && !enqueue_event(payload))
            return;
        watch->missed = false;
    }
    any_missed_ = false;
}

void Connection::reset() {
    store_.watches().remove_all(*this);
    transactions_.clear();
    input_.clear();
    output_.clear();
    sent_ = queued_bytes_ = replies_ = events_ = event_bytes_ = 0;
    any_missed_ = broken_ = false;
}

} // namespace parapet::xenstore
