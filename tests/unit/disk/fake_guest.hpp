// SPDX-License-Identifier: Apache-2.0
// A domain in an array: memory, grant table, frame table, event channels, xenstore; with the real I/O thread, grants
// and control context. What a frontend does is in frontend.hpp.
#pragma once

#include "backends/devices/device.hpp"
#include "backends/io/io_thread.hpp"
#include "iorings/grants/host_grants.hpp"
#include "iorings/xenstore/store.hpp"
#include "pv-abi/doorbell.hpp"
#include "pv-abi/frame_word.hpp"
#include "support/unique_fd.hpp"

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace parapet::disk_test {

using namespace std::chrono_literals;

class FakeGuest {
public:
    static constexpr std::uint64_t frames = 4096, grant_frames = 8, first_own = 16;
    static constexpr std::uint32_t most_ports = 64;

    FakeGuest();
    ~FakeGuest();
    FakeGuest(const FakeGuest&) = delete;
    FakeGuest& operator=(const FakeGuest&) = delete;

    std::uint64_t allocate(std::uint64_t count = 1);
    [[nodiscard]] std::byte* page(std::uint64_t mfn) const { return memory_ + mfn * 4096; }
    /// A new reference for the frame.
    std::uint32_t grant(std::uint64_t mfn, bool read_only = false);
    void revoke(std::uint32_t ref);
    /// Are GTF_reading or GTF_writing set?
    [[nodiscard]] bool marked(std::uint32_t ref) const;
    void set_frame(std::uint64_t mfn, doorbell::FrameOwner owner, doorbell::FrameType type);

    /// Everything that a guest which owns its nucleus can write to while the backend works.
    [[nodiscard]] std::vector<std::span<std::byte>> shared_with_the_nucleus();
    /// Grant information and frame words are as at first.
    void mend();

    void kick(std::uint32_t port);
    [[nodiscard]] unsigned signals(std::uint32_t port) const { return signals_[port].load(); }

    devices::BackendContext context();
    /// Runs the control context until `done`; false: it took too long.
    bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 10s);
    /// On the I/O thread.
    void on_io(const std::function<void()>& what) { io->call(what); }
    [[nodiscard]] std::size_t leases();

    xenstore::Store store;
    boost::asio::io_context control;
    std::unique_ptr<io::IoThread> io;
    std::vector<std::string> log;

private:
    abi::grant_entry_v1& entry(std::uint32_t ref) const;

    std::byte* memory_ = nullptr;
    std::vector<std::uint64_t> frame_table_;
    std::vector<std::uint16_t> host_use_;
    std::unique_ptr<doorbell::Mailbox> mailbox_ = std::make_unique<doorbell::Mailbox>();
    std::unique_ptr<grants::HostGrants> grants_;
    UniqueFd doorbell_, interrupt_;
    std::atomic<std::uint64_t> pending_ = 0;
    std::array<std::atomic<unsigned>, most_ports> signals_{};
    std::uint64_t next_frame_ = first_own + grant_frames;
    std::uint32_t next_ref_ = 8;
};

} // namespace parapet::disk_test
