// SPDX-License-Identifier: Apache-2.0
// The relay's connection: lost, made again, and brought to where it was; and the loop around it all.
#include "backends/nbd/helper/relay.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace parapet::nbd {

using namespace std::chrono_literals;

namespace {
constexpr auto handshake_limit = 10s;
constexpr auto longest_pause = 1s;
constexpr auto leave_limit = 30s; // a server that stores much at its end
constexpr auto hasty_limit = 1s;
} // namespace

void Relay::lose() {
    drop_session_ = false;
    session_.reset(); // no done() comes any more
    if (link_ == Link::changed) {
        return;
    }
    if (link_ == Link::up || rewriting_) {
        port_.tell(Happening::lost);
        down_since_ = Clock::now();
        pause_ = 0ms;
    }
    rewriting_ = false;
    waiting_.clear();
    for (Slot& slot : slots_) {
        if (slot.state != Slot::State::idle) {
            slot.state = Slot::State::queued;
            waiting_.push_back(&slot);
        }
    }
    std::sort(waiting_.begin(), waiting_.end(), [](const Slot* a, const Slot* b) { return a->order < b->order; });
    flying_writes_ = 0;
    own_flush_.flying = false;
    for (Replay& replay : replays_) {
        replay.flying = false;
    }
    retry_later();
}

void Relay::retry_later() {
    link_ = Link::down;
    next_try_ = Clock::now() + pause_;
    pause_ = std::min<std::chrono::milliseconds>(pause_ * 2 + 50ms, longest_pause);
}

void Relay::connect() {
    auto session = server_.connect();
    if (!session || *session == nullptr) {
        retry_later();
        return;
    }
    session_ = *std::move(session);
    link_ = Link::connecting;
    give_up_connecting_ = Clock::now() + handshake_limit;
}

/// Moves the connection on as far as it goes.
void Relay::look_at_session() {
    const auto now = Clock::now();
    if (session_ && (session_->dead() || drop_session_ || (link_ == Link::connecting && now >= give_up_connecting_))) {
        lose();
    }
    if (link_ == Link::down && now >= next_try_) {
        connect();
    }
    if (link_ == Link::connecting && session_->ready()) {
        if (!session_->facts().can_replace(facts_)) {
            link_ = Link::changed;
            session_.reset();
            port_.tell(Happening::changed);
            fail_all();
            return;
        }
        link_ = Link::replaying;
        replayed_ = 0;
        replay_error_ = 0;
    }
    if (link_ == Link::replaying) {
        replay();
    }
}

/// Several at a time, but never two that overlap: their order decides what is stored.
void Relay::replay() {
    for (Replay& replay : replays_) {
        if (replay.flying || replayed_ == log_.size()) {
            continue;
        }
        const WriteLog::Entry& next = log_[replayed_];
        const bool clash = std::any_of(replays_.begin(), replays_.end(), [&](const Replay& other) {
            return other.flying && log_[other.index].overlaps(next);
        });
        if (clash) {
            break;
        }
        replay.index = replayed_++;
        replay.op = next.data ? Op::write : Op::write_zeroes;
        replay.offset = next.offset;
        replay.length = next.length;
        replay.data = next.data.get();
        replay.flying = true;
        replay.sent = Clock::now();
        session_->issue(replay);
    }
    const bool busy = std::any_of(replays_.begin(), replays_.end(), [](const Replay& one) { return one.flying; });
    if (!busy && replayed_ == log_.size()) {
        end_replay();
    }
}

void Relay::end_replay() {
    if (rewriting_) {
        end_rewrite();
    } else if (replay_error_ == 0) {
        come_up();
    } else {
        // It has lost what the guest was told is written, and does not take it again: no disk to go on with.
        if (!std::exchange(told_refused_, true)) {
            port_.tell(Happening::refused);
        }
        drop_session_ = true;
    }
}

void Relay::replay_done(Replay& replay, int error) {
    if (error == ENOTCONN || error == ESHUTDOWN) {
        drop_session_ = true;
        return;
    }
    replay.flying = false;
    if (error != 0 && replay_error_ == 0) {
        replay_error_ = error;
    }
}

void Relay::come_up() {
    link_ = Link::up;
    gave_up_ = told_refused_ = false;
    unsure_ = 0; // all of the log has been written again
    port_.tell(Happening::returned);
    flush_log(); // writes may wait for room in it
}

/// A server that is there, but does not answer: the oldest of what it was sent decides, ours included.
bool Relay::server_is_silent(Clock::time_point now) const {
    const auto late = [&](Clock::time_point sent) { return now - sent > patience_; };
    return (own_flush_.flying && late(own_flush_.sent)) ||
           std::any_of(replays_.begin(), replays_.end(),
                       [&](const Replay& replay) { return replay.flying && late(replay.sent); }) ||
           std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
               return (slot.state == Slot::State::flying || slot.state == Slot::State::syncing) && late(slot.sent);
           });
}

void Relay::check_patience() {
    const auto now = Clock::now();
    if ((link_ == Link::up || link_ == Link::replaying) && server_is_silent(now)) {
        const bool was_up = link_ == Link::up || rewriting_;
        lose();
        if (was_up) {
            down_since_ = now - patience_;
        }
    }
    const bool away = link_ != Link::up && link_ != Link::changed && !rewriting_;
    if (away && !gave_up_ && now - down_since_ >= patience_) {
        gave_up_ = true;
        port_.tell(Happening::gave_up);
        fail_all();
    }
}

void Relay::turn() {
    do {
        if (session_) {
            session_->deliver();
        }
        look_at_session();
        check_patience();
        issue();
    } while (session_ && session_->has_ended());
    port_.send();
}

int Relay::poll_timeout() const {
    // Everything that is waited for by the clock is coarse.
    return link_ == Link::up ? 250 : 20;
}

bool Relay::receive() {
    std::span<const WireRequest> requests;
    for (;;) {
        switch (port_.receive(requests)) {
        case VmmPort::Got::nothing:
            return true;
        case VmmPort::Got::end:
            return false;
        case VmmPort::Got::requests:
            for (const WireRequest& wire : requests) {
                if (!acceptable(wire)) {
                    return false;
                }
                accept(wire);
            }
        }
    }
}

void Relay::run() {
    bool present = true;
    while (present) {
        std::array<pollfd, 3> watched{};
        watched[0] = {port_.fd(), static_cast<short>(POLLIN | (port_.wants_to_send() ? POLLOUT : 0)), 0};
        watched[1] = session_ ? session_->wish() : pollfd{-1, 0, 0};
        watched[2] = server_.wish();
        (void)::poll(watched.data(), watched.size(), poll_timeout());
        if (watched[0].revents != 0) {
            present = receive();
        }
        if (session_ && watched[1].revents != 0) {
            session_->serve(watched[1].revents);
        }
        server_.serve(watched[2].revents);
        turn();
    }
    leave();
}

/// What the server has been sent is let finish; then it is told, and waited for.
void Relay::leave() {
    const bool in_order = link_ == Link::up;
    const auto until = Clock::now() + (port_.in_haste() ? hasty_limit : leave_limit);
    waiting_.clear();
    bool told = false;
    while (session_ && !session_->dead() && in_order && Clock::now() < until) {
        if (!anything_flying() && !told) {
            session_->disconnect();
            told = true;
        }
        pollfd watched = session_->wish();
        (void)::poll(&watched, 1, 100);
        session_->serve(watched.revents);
        session_->deliver();
        if (drop_session_) {
            break;
        }
    }
    session_.reset();
    while (in_order && !server_.ended() && Clock::now() < until) {
        (void)::poll(nullptr, 0, 10);
        pollfd said = server_.wish();
        (void)::poll(&said, 1, 0);
        server_.serve(said.revents);
    }
}

} // namespace parapet::nbd
