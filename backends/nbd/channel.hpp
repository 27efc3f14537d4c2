// SPDX-License-Identifier: Apache-2.0
// The vmm's end of the NBD helper: requests of a disk go out in batches, data through the shared memory file, and what
// comes back is checked against what is under way. A helper that breaks the protocol, or is gone, fails every request.
//
// On the I/O thread, but for create(), geometry(), name(), say_bye() and abandoned(), which may be called on any.
#pragma once

#include "backends/disk/disk_target.hpp"
#include "backends/io/io_thread.hpp"
#include "backends/nbd/protocol.hpp"
#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::nbd {

/// A helper that has said Hello, as it is handed about.
struct Connection {
    UniqueFd socket;
    UniqueFd memory;
    Hello hello;
};

/// Stays alive by itself for as long as the ring has an operation of it.
class Channel final : public std::enable_shared_from_this<Channel> {
public:
    using Log = std::function<void(std::string_view)>; ///< one sentence; on the I/O thread

    /// `name`: of the disk, for log lines. Checks what the other side says; maps the memory.
    static Result<std::shared_ptr<Channel>> create(Connection connection, std::string name, Log log);
    ~Channel();
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    [[nodiscard]] const disk::Geometry& geometry() const { return geometry_; }
    [[nodiscard]] const std::string& name() const { return name_; }

    /// Begins to listen, once. `io` outlives the channel's use.
    void attach(io::IoThread& io);
    void submit(disk::TargetRequest& request);
    /// Nothing will be submitted any more: tells the helper to end; after abandon(), without much ado.
    void say_bye();
    /// What is under way fails now, and nothing will be submitted any more.
    void abandon();
    [[nodiscard]] bool abandoned() const { return abandoned_; }

    /// For another process. Precondition: never attached.
    [[nodiscard]] Connection give_away() &&;
    [[nodiscard]] int socket() const { return socket_.get(); }

private:
    Channel(Connection connection, std::string name, Log log);

    /// A request of the disk, done in parts that fit into slots.
    struct Job {
        disk::TargetRequest* request;
        std::uint64_t issued = 0; ///< bytes that parts have been made for
        unsigned under_way = 0;   ///< parts
        bool split = false;       ///< no further part
        int result = 0;           ///< the first error
    };
    struct Part {
        Job* job = nullptr; ///< none: the slot is free
        std::uint64_t position = 0;
        std::uint32_t length = 0;
    };
    struct Receiving final : io::Completion {
        Channel* channel = nullptr;
        void complete(int result, unsigned) override { channel->received(result); }
    };
    struct Sending final : io::Completion {
        Channel* channel = nullptr;
        void complete(int result, unsigned) override { channel->sent(result); }
    };

    [[nodiscard]] bool well_formed(const disk::TargetRequest& request) const;
    void split_jobs();
    void make_part(Job& job);
    void finish_later(disk::TargetRequest& request, int result);
    void send();
    void sent(int result);
    void listen();
    void received(int bytes);
    bool take_message(std::size_t bytes);
    bool take_completion(const WireCompletion& completion);
    bool take_event(Happening what);
    void end_part(std::uint16_t slot, int result);
    void fail(std::string_view why);
    void log(std::string_view what) const;
    [[nodiscard]] std::byte* slot_data(std::uint16_t slot) const { return memory_ + std::size_t{slot} * slot_bytes; }

    UniqueFd socket_, memory_fd_;
    const Hello hello_;
    std::string name_;
    Log log_;
    disk::Geometry geometry_;
    std::uint32_t part_bytes_ = 0; ///< most data in a part
    std::byte* memory_ = nullptr;

    io::IoThread* io_ = nullptr;
    bool broken_ = false;
    std::atomic<bool> bye_ = false, abandoned_ = false;
    std::list<Job> jobs_;        ///< all that are not complete
    std::deque<Job*> splitting_; ///< these have parts to make yet
    std::array<Part, slot_count> parts_;
    std::vector<std::uint16_t> free_; ///< the last one used is the first used again: fewer pages touched

    std::deque<WireRequest> outgoing_;
    bool send_due_ = false;
    Receiving receiving_;
    Sending sending_;
    std::shared_ptr<Channel> kept_by_receiving_, kept_by_sending_;
    RequestMessage sending_message_;
    union Incoming {
        Header header;
        Hello hello;
        Event event;
        CompletionMessage completions;
        Incoming() : completions{} {}
    } incoming_;
};

} // namespace parapet::nbd
