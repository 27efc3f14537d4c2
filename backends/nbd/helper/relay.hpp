// SPDX-License-Identifier: Apache-2.0
// Between vmm and server: sends each request, sends it again when the server was away, and sees to it that what the
// guest was told stays true.
//
//          ┌──────────── lost ◀──────────────┬──────────────┐
//          ▼                                 │              │
//        down ── connect ──▶ connecting ──▶ replaying ──▶ up           changed: another disk came back; for good
//          ▲                    │             the write log, in order
//          └──── failed ────────┘              └─ rewriting ──┘
//
// Requests that were under way or arrive meanwhile wait for `up`, for as long as the user's patience; then they fail,
// and so do new ones, until it is up again. Reads, writes, zeroing and trims may be done twice without harm.
//
// After a flush that failed nobody knows what is stored, and with many servers the next one would succeed all the same
// (the host's kernel tells of a lost page once). So before the next flush everything that is not durable is written
// again: a flush that succeeds has stored all, however often the guest had to ask.
#pragma once

#include "backends/nbd/helper/server.hpp"
#include "backends/nbd/helper/session.hpp"
#include "backends/nbd/helper/vmm_port.hpp"
#include "backends/nbd/helper/write_log.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

namespace parapet::nbd {

class Relay {
public:
    /// `session`: connected; `facts`: as the vmm was told.
    Relay(VmmPort& port, Server& server, std::unique_ptr<Session> session, const Facts& facts, std::byte* memory,
          std::chrono::milliseconds patience);
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    /// Until the vmm leaves.
    void run();

private:
    using Clock = std::chrono::steady_clock;
    enum class Link { down, connecting, replaying, up, changed };

    struct Slot final : Command {
        enum class State { idle, queued, flying, syncing };
        Relay* relay = nullptr;
        State state = State::idle;
        std::uint16_t number = 0;
        bool durable = false;     ///< a write that the guest wants to be durable
        std::uint64_t order = 0;  ///< of arrival
        std::uint64_t covers = 0; ///< flush: the log's end when it was sent
        Clock::time_point sent;
        void done(int error) override { relay->slot_done(*this, error); }
    };
    /// A flush of our own, to be allowed to forget what is in the log.
    struct OwnFlush final : Command {
        Relay* relay = nullptr;
        bool flying = false;
        std::uint64_t covers = 0;
        Clock::time_point sent;
        void done(int error) override { relay->own_flush_done(error); }
    };
    struct Replay final : Command {
        Relay* relay = nullptr;
        bool flying = false;
        std::size_t index = 0; ///< in the log
        Clock::time_point sent;
        void done(int error) override { relay->replay_done(*this, error); }
    };

    // The loop.
    bool receive();
    void turn();
    [[nodiscard]] int poll_timeout() const;
    void leave();

    // Requests.
    [[nodiscard]] bool acceptable(const WireRequest& wire) const;
    void accept(const WireRequest& wire);
    void issue();
    [[nodiscard]] bool log_has_room(const Slot& slot) const;
    void send_slot(Slot& slot);
    void slot_done(Slot& slot, int error);
    void write_done(Slot& slot);
    void answer(Slot& slot, int result);
    void fail_all();
    void flush_log();
    void own_flush_done(int error);
    void rewrite();
    void end_rewrite();
    void refuse_first(int error);
    [[nodiscard]] bool anything_flying() const;

    // The connection.
    void lose();
    void connect();
    void look_at_session();
    void retry_later();
    void replay();
    void replay_done(Replay& replay, int error);
    void end_replay();
    void come_up();
    void check_patience();
    [[nodiscard]] bool server_is_silent(Clock::time_point now) const;
    [[nodiscard]] bool keeps_log() const { return facts_.flush && !facts_.read_only; }

    VmmPort& port_;
    Server& server_;
    std::unique_ptr<Session> session_;
    const Facts facts_;
    std::byte* const memory_;
    const std::chrono::milliseconds patience_;

    Link link_ = Link::up;
    bool leaving_ = false;
    bool drop_session_ = false; ///< lose() is due; not while the session calls us
    bool gave_up_ = false;
    int unsure_ = 0;            ///< errno of a flush that failed: what is in the log has to be written again
    bool rewriting_ = false;    ///< replaying on a link that is up
    int replay_error_ = 0;      ///< the first one of this replay
    bool told_refused_ = false; ///< in this outage
    Clock::time_point down_since_, next_try_, give_up_connecting_;
    std::chrono::milliseconds pause_{0};

    std::array<Slot, slot_count> slots_;
    std::deque<Slot*> waiting_; ///< state queued, in order of arrival
    std::uint64_t arrivals_ = 0;
    std::size_t flying_writes_ = 0; ///< bytes on their way into the log

    WriteLog log_;
    OwnFlush own_flush_;
    std::array<Replay, 16> replays_;
    std::size_t replayed_ = 0; ///< entries of the log that have been sent again
};

} // namespace parapet::nbd
