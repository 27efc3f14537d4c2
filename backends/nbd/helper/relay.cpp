// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/relay.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace parapet::nbd {

namespace {
constexpr std::size_t log_limit = 32 << 20; ///< bytes; from half of it on, flushes of our own empty it
}

Relay::Relay(VmmPort& port, Server& server, std::unique_ptr<Session> session, const Facts& facts, std::byte* memory,
             std::chrono::milliseconds patience)
    : port_{port}, server_{server}, session_{std::move(session)}, facts_{facts}, memory_{memory}, patience_{patience} {
    for (std::size_t i = 0; i < slots_.size(); i++) {
        slots_[i].relay = this;
        slots_[i].number = static_cast<std::uint16_t>(i);
        slots_[i].data = memory + i * slot_bytes;
    }
    for (Replay& replay : replays_) {
        replay.relay = this;
    }
    own_flush_.relay = this;
    own_flush_.op = Op::flush;
}

// The vmm may be wrong or taken over: nothing but what a disk of this size has reaches the server.
bool Relay::acceptable(const WireRequest& wire) const {
    if (wire.slot >= slot_count || slots_[wire.slot].state != Slot::State::idle || wire.op > Op::write_zeroes ||
        wire.fua > 1) {
        return false;
    }
    const bool with_data = wire.op == Op::read || wire.op == Op::write;
    if (wire.op == Op::flush) {
        return wire.offset == 0 && wire.length == 0;
    }
    return wire.length != 0 &&
           wire.length <= (with_data ? std::min(slot_bytes, facts_.most_data) : most_without_data) &&
           wire.length <= facts_.bytes && wire.offset <= facts_.bytes - wire.length &&
           wire.offset % facts_.least_block == 0 && wire.length % facts_.least_block == 0;
}

void Relay::accept(const WireRequest& wire) {
    Slot& slot = slots_[wire.slot];
    slot.op = wire.op;
    slot.durable = wire.fua != 0 && (wire.op == Op::write || wire.op == Op::write_zeroes);
    // Where a server cannot flush, but write through, everything is written through.
    slot.fua = facts_.fua && (slot.durable || !facts_.flush) && wire.op != Op::read && wire.op != Op::flush;
    slot.offset = wire.offset;
    slot.length = wire.length;
    slot.order = arrivals_++;
    if (gave_up_ || link_ == Link::changed) {
        answer(slot, -EIO);
    } else if (facts_.read_only && wire.op != Op::read && wire.op != Op::flush) {
        answer(slot, -EROFS);
    } else if ((wire.op == Op::discard && !facts_.trim) || (wire.op == Op::write_zeroes && !facts_.zero)) {
        answer(slot, -EOPNOTSUPP);
    } else if (wire.op == Op::flush && !facts_.flush) {
        answer(slot, 0); // nothing to flush: written through, or not promised
    } else {
        slot.state = Slot::State::queued;
        waiting_.push_back(&slot);
    }
}

bool Relay::log_has_room(const Slot& slot) const {
    return !keeps_log() || slot.op != Op::write || log_.bytes() + flying_writes_ + slot.length <= log_limit;
}

void Relay::issue() {
    while (link_ == Link::up && !drop_session_ && !waiting_.empty()) {
        Slot& slot = *waiting_.front();
        const bool room = log_has_room(slot);
        if (unsure_ != 0 && (slot.op == Op::flush || !room)) {
            rewrite();
            return;
        }
        if (!room) {
            flush_log();
            return;
        }
        waiting_.pop_front();
        send_slot(slot);
    }
}

bool Relay::anything_flying() const {
    return own_flush_.flying || std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
               return slot.state == Slot::State::flying || slot.state == Slot::State::syncing;
           });
}

/// As after a reconnect; but first what is under way has to end, as it may be newer than the log.
void Relay::rewrite() {
    if (!anything_flying()) {
        link_ = Link::replaying;
        rewriting_ = true;
        replayed_ = 0;
        replay_error_ = 0;
        replay();
    }
}

void Relay::end_rewrite() {
    link_ = Link::up;
    rewriting_ = false;
    unsure_ = replay_error_;
    if (unsure_ != 0) {
        refuse_first(unsure_);
    }
}

/// The request that could not go on without the log being stored.
void Relay::refuse_first(int error) {
    Slot& slot = *waiting_.front();
    waiting_.pop_front();
    answer(slot, -error);
}

void Relay::send_slot(Slot& slot) {
    slot.state = Slot::State::flying;
    slot.covers = log_.end();
    slot.sent = Clock::now();
    if (slot.op == Op::write) {
        flying_writes_ += slot.length;
    }
    session_->issue(slot);
}

void Relay::slot_done(Slot& slot, int error) {
    if (slot.state == Slot::State::flying && slot.op == Op::write) {
        flying_writes_ -= slot.length;
    }
    if (error == ENOTCONN || error == ESHUTDOWN) {
        slot.state = Slot::State::flying; // lose() finds it
        if (slot.op == Op::write) {
            flying_writes_ += slot.length;
        }
        drop_session_ = true;
        return;
    }
    const bool flushed = slot.state == Slot::State::syncing || slot.op == Op::flush;
    if (flushed && error != 0) {
        unsure_ = error;
    } else if (flushed && unsure_ == 0) {
        log_.drop_until(slot.covers);
    }
    if (error != 0) {
        answer(slot, -error);
    } else if (flushed) {
        answer(slot, -unsure_); // another flush failed meanwhile: this one's success says nothing
    } else {
        write_done(slot);
    }
}

/// Also for reads and trims, which change nothing that must be kept (a trimmed block may have any content).
void Relay::write_done(Slot& slot) {
    if (keeps_log() && slot.op == Op::write) {
        log_.add(slot.offset, slot.length, slot.data);
    } else if (keeps_log() && slot.op == Op::write_zeroes) {
        log_.add_zeroes(slot.offset, slot.length);
    }
    if (slot.durable && !slot.fua && facts_.flush) {
        // What the server cannot do in one step.
        slot.state = Slot::State::syncing;
        slot.covers = log_.end();
        slot.sent = Clock::now();
        const Op op = std::exchange(slot.op, Op::flush);
        session_->issue(slot);
        slot.op = op;
        return;
    }
    answer(slot, 0);
    flush_log();
}

void Relay::answer(Slot& slot, int result) {
    slot.state = Slot::State::idle;
    port_.complete(slot.number, result);
}

void Relay::flush_log() {
    if (log_.bytes() > log_limit / 2 && !own_flush_.flying && !drop_session_ && unsure_ == 0) {
        own_flush_.flying = true;
        own_flush_.covers = log_.end();
        own_flush_.sent = Clock::now();
        session_->issue(own_flush_);
    }
}

void Relay::own_flush_done(int error) {
    if (error == ENOTCONN || error == ESHUTDOWN) {
        drop_session_ = true;
        return;
    }
    own_flush_.flying = false;
    if (error != 0) {
        unsure_ = error;
        if (!waiting_.empty() && !log_has_room(*waiting_.front())) {
            refuse_first(error);
        }
    } else if (unsure_ == 0) {
        log_.drop_until(own_flush_.covers);
    }
}

void Relay::fail_all() {
    for (Slot& slot : slots_) {
        if (slot.state != Slot::State::idle) {
            answer(slot, -EIO);
        }
    }
    waiting_.clear();
}

} // namespace parapet::nbd
