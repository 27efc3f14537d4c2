// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/disk/fake_guest.hpp"

#include <cstdlib>
#include <stdexcept>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace parapet::disk_test {

FakeGuest::FakeGuest()
    : memory_{static_cast<std::byte*>(std::aligned_alloc(2 << 20, frames * 4096))}, frame_table_(frames),
      host_use_(frames), doorbell_{::eventfd(0, EFD_NONBLOCK)}, interrupt_{::eventfd(0, EFD_NONBLOCK)} {
    std::fill_n(memory_, frames * 4096, std::byte{});
    mend();
    const GuestFrames all{memory_, frames, frames, frames};
    grants_ =
        std::make_unique<grants::HostGrants>(all, *mailbox_, frame_table_.data(), host_use_.data(), frames, first_own);
    auto made = io::IoThread::create(256);
    if (!made) {
        throw std::runtime_error{made.error().message};
    }
    io = *std::move(made);
    io::IoThread::Life life;
    life.doorbell = doorbell_.get();
    life.interrupt = interrupt_.get();
    life.take_ports = [this](const std::function<void(std::uint32_t)>& call) {
        const std::uint64_t taken = pending_.exchange(0);
        for (std::uint32_t port = 0; port < most_ports; ++port) {
            if ((taken >> port & 1) != 0) {
                call(port);
            }
        }
    };
    life.mark_port = [this](std::uint32_t port) { ++signals_.at(port); };
    life.memory = all;
    io->begin(std::move(life));
}

FakeGuest::~FakeGuest() {
    io->end();
    io.reset();
    std::free(memory_);
}

void FakeGuest::mend() {
    for (std::uint64_t mfn = first_own; mfn < frames; ++mfn) {
        set_frame(mfn, doorbell::FrameOwner::domain, doorbell::FrameType::writable);
    }
    doorbell::GrantInfo& info = mailbox_->grants;
    info.version = 1;
    for (std::uint64_t index = 0; index < grant_frames; ++index) {
        info.frames[index] = first_own + index;
        set_frame(first_own + index, doorbell::FrameOwner::shared, doorbell::FrameType::writable);
    }
    info.nr_frames = grant_frames;
    info.sequence = 0;
}

std::vector<std::span<std::byte>> FakeGuest::shared_with_the_nucleus() {
    const auto bytes = [](auto* first, std::size_t count) {
        return std::span{reinterpret_cast<std::byte*>(first), count * sizeof(*first)};
    };
    return {bytes(page(first_own), 4096),
            bytes(&mailbox_->grants, 1),
            bytes(frame_table_.data(), frames),
            bytes(host_use_.data(), frames),
            bytes(page(first_own + grant_frames), 64 * 4096), // rings and data
            bytes(page(first_own + grant_frames), (frames - first_own - grant_frames) * 4096)};
}

std::uint64_t FakeGuest::allocate(std::uint64_t count) {
    next_frame_ += count;
    if (next_frame_ > frames) {
        throw std::runtime_error{"out of frames"};
    }
    return next_frame_ - count;
}

abi::grant_entry_v1& FakeGuest::entry(std::uint32_t ref) const {
    return reinterpret_cast<abi::grant_entry_v1*>(page(first_own))[ref];
}

std::uint32_t FakeGuest::grant(std::uint64_t mfn, bool read_only) {
    const std::uint32_t ref = next_ref_++;
    entry(ref).domid = 0;
    entry(ref).frame = static_cast<std::uint32_t>(mfn);
    std::atomic_ref{entry(ref).flags}.store(
        static_cast<std::uint16_t>(abi::GTF_permit_access | (read_only ? abi::GTF_readonly : 0)));
    return ref;
}

void FakeGuest::revoke(std::uint32_t ref) {
    std::atomic_ref{entry(ref).flags}.store(0);
}

bool FakeGuest::marked(std::uint32_t ref) const {
    return (std::atomic_ref{entry(ref).flags}.load() & (abi::GTF_reading | abi::GTF_writing)) != 0;
}

void FakeGuest::set_frame(std::uint64_t mfn, doorbell::FrameOwner owner, doorbell::FrameType type) {
    doorbell::FrameWord word;
    word.set_owner(owner);
    word.set_type(type);
    std::atomic_ref{frame_table_[mfn]}.store(word.word);
}

void FakeGuest::kick(std::uint32_t port) {
    pending_ |= std::uint64_t{1} << port;
    const std::uint64_t one = 1;
    (void)!::write(doorbell_.get(), &one, sizeof one);
}

devices::BackendContext FakeGuest::context() {
    return {*io, *grants_, control, [this](std::string_view line) { log.emplace_back(line); }};
}

bool FakeGuest::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    for (;;) {
        control.restart();
        control.poll();
        if (done()) {
            return true;
        }
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(200us);
    }
}

std::size_t FakeGuest::leases() {
    std::size_t count = 0;
    on_io([&] { count = grants_->in_use(); });
    return count;
}

} // namespace parapet::disk_test
