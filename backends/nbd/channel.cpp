// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/channel.hpp"

#include "support/file_status.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

namespace parapet::nbd {

namespace {

constexpr int needed_seals = F_SEAL_SHRINK | F_SEAL_GROW;

/// A file that was cut short under a mapping would kill us (SIGBUS).
bool sound_memory(int fd) {
    struct stat status {};
    const int seals = ::fcntl(fd, F_GET_SEALS);
    return status_of(fd, status) == 0 && static_cast<std::size_t>(status.st_size) == memory_bytes && seals >= 0 &&
           (seals & needed_seals) == needed_seals;
}

bool sound_socket(int fd) {
    struct stat status {};
    return status_of(fd, status) == 0 && S_ISSOCK(status.st_mode);
}

bool sound_hello(const Hello& hello) {
    constexpr std::uint64_t most = std::uint64_t{1} << 62;
    return hello.version == protocol_version && (hello.flags & ~flag::all) == 0 && hello.least_block != 0 &&
           hello.least_block <= 4096 && std::has_single_bit(hello.least_block) && hello.bytes >= 4096 &&
           hello.bytes <= most && hello.most_data >= 4096 && hello.most_data <= slot_bytes;
}

disk::Geometry geometry_of(const Hello& hello) {
    disk::Geometry geometry;
    geometry.logical_block = hello.least_block <= 512 ? 512 : 4096;
    const std::uint32_t preferred =
        std::has_single_bit(hello.preferred_block) ? std::min<std::uint32_t>(hello.preferred_block, 64 << 10) : 0;
    geometry.physical_block = std::max(geometry.logical_block, std::min<std::uint32_t>(preferred, 4096));
    geometry.discard_granularity = std::max(geometry.logical_block, preferred);
    geometry.bytes = hello.bytes & ~std::uint64_t{geometry.logical_block - 1};
    geometry.read_only = (hello.flags & flag::read_only) != 0;
    geometry.flush = (hello.flags & flag::flush) != 0;
    geometry.discard = !geometry.read_only && (hello.flags & flag::discard) != 0;
    geometry.write_zeroes = !geometry.read_only && (hello.flags & flag::write_zeroes) != 0;
    return geometry;
}

/// Copies between the bytes from `position` on of all segments together, and a slot. Never more than the segments hold.
void copy(const disk::TargetRequest& request, std::uint64_t position, std::uint32_t length, std::byte* slot) {
    for (const iovec& segment : request.segments) {
        if (length == 0) {
            return;
        }
        if (position >= segment.iov_len) {
            position -= segment.iov_len;
            continue;
        }
        const std::size_t part = std::min<std::size_t>(length, segment.iov_len - position);
        auto* const guest = static_cast<std::byte*>(segment.iov_base) + position;
        if (request.operation == disk::Operation::write) {
            std::memcpy(slot, guest, part);
        } else {
            std::memcpy(guest, slot, part);
        }
        slot += part, length -= static_cast<std::uint32_t>(part), position = 0;
    }
}

bool moves_data(disk::Operation operation) {
    return operation == disk::Operation::read || operation == disk::Operation::write;
}

constexpr Op op_of(disk::Operation operation) {
    switch (operation) {
    case disk::Operation::read:
        return Op::read;
    case disk::Operation::write:
        return Op::write;
    case disk::Operation::flush:
        return Op::flush;
    case disk::Operation::discard:
        return Op::discard;
    case disk::Operation::write_zeroes:
        return Op::write_zeroes;
    }
    return Op::flush;
}

} // namespace

Result<std::shared_ptr<Channel>> Channel::create(Connection connection, std::string name, Log log) {
    if (!sound_socket(connection.socket.get()) || !sound_memory(connection.memory.get()) ||
        !sound_hello(connection.hello)) {
        return Error{name + ": the NBD helper does not speak this parapet's language; use the parapet-nbd that was "
                            "built with it"};
    }
    std::shared_ptr<Channel> made{new Channel{std::move(connection), std::move(name), std::move(log)}};
    void* const memory = ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, made->memory_fd_.get(), 0);
    if (memory == MAP_FAILED) {
        return Error{made->name_ + ": cannot map the NBD helper's memory (" + std::strerror(errno) + ")"};
    }
    made->memory_ = static_cast<std::byte*>(memory);
    return made;
}

Channel::Channel(Connection connection, std::string name, Log log)
    : socket_{std::move(connection.socket)}, memory_fd_{std::move(connection.memory)}, hello_{connection.hello},
      name_{std::move(name)}, log_{std::move(log)}, geometry_{geometry_of(hello_)}, part_bytes_{hello_.most_data &
                                                                                                ~4095U} {
    receiving_.channel = sending_.channel = this;
    for (std::uint16_t slot = slot_count; slot != 0; slot--) {
        free_.push_back(static_cast<std::uint16_t>(slot - 1));
    }
}

Channel::~Channel() {
    if (memory_ != nullptr) {
        ::munmap(memory_, memory_bytes);
    }
}

Connection Channel::give_away() && {
    return {std::move(socket_), std::move(memory_fd_), hello_};
}

void Channel::log(std::string_view what) const {
    if (log_) {
        log_(name_ + ": " + std::string{what});
    }
}

void Channel::attach(io::IoThread& io) {
    if (io_ == nullptr) {
        io_ = &io;
        listen();
    }
}

// ---- out

bool Channel::well_formed(const disk::TargetRequest& request) const {
    if (request.operation == disk::Operation::flush) {
        return true;
    }
    const std::uint64_t mask = geometry_.logical_block - 1;
    std::uint64_t held = 0;
    for (const iovec& segment : request.segments) {
        held += segment.iov_len;
    }
    return request.length != 0 && request.length <= geometry_.bytes &&
           request.offset <= geometry_.bytes - request.length && ((request.offset | request.length) & mask) == 0 &&
           (!moves_data(request.operation) || held == request.length);
}

void Channel::submit(disk::TargetRequest& request) {
    const bool changes = request.operation != disk::Operation::read && request.operation != disk::Operation::flush;
    if (broken_ || bye_) {
        finish_later(request, -EIO);
    } else if (!well_formed(request)) {
        finish_later(request, -EINVAL);
    } else if (changes && geometry_.read_only) {
        finish_later(request, -EROFS);
    } else {
        splitting_.push_back(&jobs_.emplace_back(Job{&request}));
        split_jobs();
    }
}

void Channel::finish_later(disk::TargetRequest& request, int result) {
    io_->defer([&request, result] { request.complete(result); });
}

void Channel::split_jobs() {
    while (!splitting_.empty() && !free_.empty()) {
        Job& job = *splitting_.front();
        make_part(job);
        if (job.split) {
            splitting_.pop_front();
        }
    }
}

void Channel::make_part(Job& job) {
    const disk::TargetRequest& request = *job.request;
    const bool flush = request.operation == disk::Operation::flush;
    const std::uint64_t most = moves_data(request.operation) ? part_bytes_ : most_without_data;
    const std::uint16_t slot = free_.back();
    free_.pop_back();
    const auto length = flush ? 0 : static_cast<std::uint32_t>(std::min(request.length - job.issued, most));
    parts_[slot] = {&job, job.issued, length};
    if (request.operation == disk::Operation::write) {
        copy(request, job.issued, length, slot_data(slot));
    }
    outgoing_.push_back({slot, op_of(request.operation), static_cast<std::uint8_t>(request.fua ? 1 : 0), length,
                         flush ? 0 : request.offset + job.issued});
    job.issued += length;
    job.under_way++;
    job.split = flush || job.issued == request.length;
    if (!send_due_ && !kept_by_sending_) {
        send_due_ = true; // with what else comes in this round
        io_->defer([self = shared_from_this()] {
            self->send_due_ = false;
            self->send();
        });
    }
}

/// One message at a time is on its way; what comes meanwhile goes with the next one.
void Channel::send() {
    if (kept_by_sending_ || outgoing_.empty() || broken_) {
        return;
    }
    const std::size_t count = std::min<std::size_t>(outgoing_.size(), most_entries);
    sending_message_.header = {Kind::requests, static_cast<std::uint32_t>(count)};
    std::copy_n(outgoing_.begin(), count, sending_message_.entries.begin());
    outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<std::ptrdiff_t>(count));
    kept_by_sending_ = shared_from_this();
    io_->prepare(sending_, io_uring_prep_send, socket_.get(), static_cast<const void*>(&sending_message_),
                 message_bytes<RequestMessage>(count), MSG_NOSIGNAL);
}

void Channel::sent(int result) {
    const auto self = std::move(kept_by_sending_);
    kept_by_sending_.reset();
    if (result < 0 && result != -EINTR) {
        fail("cannot be reached any more");
        return;
    }
    send();
}

void Channel::say_bye() {
    bye_ = true;
    const Bye bye{{Kind::bye, abandoned_ ? bye_at_once : 0}};
    (void)!::write(socket_.get(), &bye, sizeof(bye)); // a full queue: the helper sees the end of the socket instead
}

/// What the helper may still write goes to its memory file: nobody looks at that any more.
void Channel::abandon() {
    abandoned_ = bye_ = true;
    fail("was given up");
}

// ---- in

void Channel::listen() {
    kept_by_receiving_ = shared_from_this();
    io_->prepare(receiving_, io_uring_prep_recv, socket_.get(), static_cast<void*>(&incoming_), sizeof(incoming_), 0);
}

void Channel::received(int bytes) {
    const auto self = std::move(kept_by_receiving_);
    kept_by_receiving_.reset();
    const bool again = bytes == -EINTR || bytes == -EAGAIN;
    if (!again && bytes <= 0) {
        fail("has ended");
    } else if (!again && !take_message(static_cast<std::size_t>(bytes))) {
        fail("broke the protocol");
    }
    if (!broken_) {
        listen();
    }
}

bool Channel::take_message(std::size_t bytes) {
    if (bytes < sizeof(Header)) {
        return false;
    }
    const Header header = incoming_.header;
    if (header.kind == Kind::event) {
        return bytes == sizeof(Event) && header.count == 0 && take_event(incoming_.event.what);
    }
    if (header.kind != Kind::completions || header.count == 0 || header.count > most_entries ||
        bytes != message_bytes<CompletionMessage>(header.count)) {
        return false;
    }
    for (std::uint32_t i = 0; i < header.count && !broken_; i++) {
        if (!take_completion(incoming_.completions.entries[i])) {
            return false;
        }
    }
    split_jobs();
    return true;
}

bool Channel::take_completion(const WireCompletion& completion) {
    if (completion.slot >= slot_count || parts_[completion.slot].job == nullptr || completion.zero != 0 ||
        completion.result > 0 || completion.result < -4095) {
        return false;
    }
    end_part(completion.slot, completion.result);
    return true;
}

void Channel::end_part(std::uint16_t slot, int result) {
    const Part part = std::exchange(parts_[slot], {});
    Job& job = *part.job;
    if (result == 0 && job.request->operation == disk::Operation::read) {
        copy(*job.request, part.position, part.length, slot_data(slot));
    }
    free_.push_back(slot);
    job.result = job.result != 0 ? job.result : result;
    if (--job.under_way == 0 && job.split) {
        const Job ended = job;
        jobs_.remove_if([&](const Job& other) { return &other == &job; });
        ended.request->complete(ended.result);
    }
}

bool Channel::take_event(Happening what) {
    switch (what) {
    case Happening::lost:
        log("the NBD server is gone; requests wait for it");
        return true;
    case Happening::gave_up:
        log("the NBD server has stayed away; requests get an error until it is back");
        return true;
    case Happening::returned:
        log("the NBD server is back");
        return true;
    case Happening::changed:
        log("another disk came back from the NBD server (its size or features differ); requests fail from now on: "
            "detach it and attach it anew");
        return true;
    case Happening::refused:
        log("the NBD server answers again, but refuses the writes that it had not stored yet; requests wait for it");
        return true;
    }
    return false;
}

void Channel::fail(std::string_view why) {
    if (broken_) {
        return;
    }
    broken_ = true;
    if (!bye_) {
        log("the disk's NBD helper " + std::string{why} +
            "; every request fails from now on: detach the disk and "
            "attach it anew");
    }
    outgoing_.clear();
    splitting_.clear();
    parts_ = {};
    for (const Job& job : std::exchange(jobs_, {})) {
        job.request->complete(-EIO);
    }
}

} // namespace parapet::nbd
