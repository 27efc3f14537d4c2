// SPDX-License-Identifier: Apache-2.0
// The data path's thread: one io_uring that carries all device I/O of the domain, the doorbell, and the signals to the
// guest. One io_uring_enter() a round submits what the last completions led to and waits for the next ones.
//
//   round:  completions ─▶ Completion::complete() ─▶ queues SQEs, responds, notify(port)
//           doorbell    ─▶ port handlers          ─▶ fetch requests, queue SQEs
//           end of round: mailbox bits and one eventfd write for all notified ports; submit; wait
//
// The ring is made before the process is confined, with IORING_REGISTER_RESTRICTIONS: it can read, write, sync, punch,
// poll, send and receive on open descriptors, and nothing else, so that it is no way around seccomp.
//
// The thread lives as long as the process; a domain's life (between two reboots) is a Life.
#pragma once

#include "iorings/memory/guest_frames.hpp"
#include "support/result.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <liburing.h>
#include <memory>
#include <span>
#include <vector>

namespace parapet::io {

/// Who waits for an operation of the ring. Called on the I/O thread, once for each submission (more often for
/// multi-shot ones: IORING_CQE_F_MORE in `flags`). Must stay alive until then.
class Completion {
public:
    /// `result`: as cqe->res: bytes or 0, or -errno.
    virtual void complete(int result, unsigned flags) = 0;

protected:
    ~Completion() = default;
};

struct IoStatistics {
    std::uint64_t enters = 0;    ///< system calls of the thread (io_uring_enter and others)
    std::uint64_t submitted = 0; ///< operations
    std::uint64_t fixed = 0;     ///< of these, with registered memory
    std::uint64_t doorbells = 0; ///< wake-ups by the guest
    std::uint64_t signals = 0;   ///< interrupts sent to the guest

    friend IoStatistics operator-(const IoStatistics& a, const IoStatistics& b) {
        return {a.enters - b.enters, a.submitted - b.submitted, a.fixed - b.fixed, a.doorbells - b.doorbells,
                a.signals - b.signals};
    }
};

class IoThread {
public:
    /// What a domain's life lends the thread.
    struct Life {
        int doorbell = -1;  ///< eventfd that the guest's doorbell signals
        int interrupt = -1; ///< eventfd that interrupts the vCPU
        /// Takes the bits of the mailbox and calls for each port (PortMailbox::take).
        std::function<void(const std::function<void(std::uint32_t)>&)> take_ports;
        /// Sets the mailbox's bit of a port, without the interrupt (PortMailbox::mark).
        std::function<void(std::uint32_t)> mark_port;
        /// Of the domain itself (console, xenstore): no device gets them.
        std::vector<std::uint32_t> own_ports;
        /// Ports that no device has bound: console, xenstore. On the I/O thread.
        std::function<void(std::uint32_t)> other_port;
        GuestFrames memory;
    };

    /// Makes the ring; its thread starts with the first begin().
    static Result<std::unique_ptr<IoThread>> create(unsigned entries = 1024);
    virtual ~IoThread() = default;

    // From the control thread.

    virtual void begin(Life life) = 0;
    /// No handler of that life is called any more afterwards. Devices must have been disconnected.
    virtual void end() = 0;
    /// Runs `what` on the I/O thread, soon. Any thread.
    virtual void post(std::function<void()> what) = 0;
    /// Runs `what` on the I/O thread and waits for it. Not from the I/O thread.
    virtual void call(const std::function<void()>& what) = 0;
    /// These pages of guest memory go back to the host, or went: the old ones must not stay registered. Any thread
    /// but the I/O thread; between begin() and end().
    virtual void forget_memory(std::span<const std::byte* const> pages) = 0;
    [[nodiscard]] virtual IoStatistics statistics() const = 0;

    // On the I/O thread only.

    /// A zeroed submission entry whose completion goes to `completion`; never nullptr (it submits when the queue is
    /// full). Fill it by io_uring_prep_*() first, then call own(), or use prepare() below, which does both.
    virtual io_uring_sqe* entry() = 0;
    static void own(io_uring_sqe* sqe, Completion& completion) { io_uring_sqe_set_data(sqe, &completion); }
    /// prepare(completion, io_uring_prep_read, fd, data, length, offset)
    template <typename Prepare, typename... Arguments>
    void prepare(Completion& completion, Prepare prep, Arguments... arguments) {
        io_uring_sqe* sqe = entry();
        prep(sqe, arguments...);
        own(sqe, completion);
    }
    /// So many operations more (or fewer), of so many requests of the guest, are under way that end soon and by
    /// themselves, as transfers of a disk do. While there are many, the thread waits for several at a time: fewer
    /// wake-ups, answers in batches, one interrupt for them. A hint: nothing but the time depends on it.
    virtual void under_way(int operations, int requests) { (void)operations, (void)requests; }
    /// Calls `what` in the next round, which begins in a moment even if nothing happens. False: this thread has no such
    /// rounds, ask for a signal. What looks has to stop doing so when nothing comes: Patience.
    virtual bool look_again(std::function<void()> what) = 0;
    /// How long waiting for more may take: some rounds' cost, within limits.
    [[nodiscard]] virtual std::chrono::nanoseconds moment() const = 0;
    /// Index of the registered buffer that holds [data, data + length) of guest memory, registering that part of it if
    /// need be; -1 where it cannot be (no such memory, the limit of locked memory): use an ordinary read or write then.
    virtual int buffer_index(const void* data, std::size_t length) = 0;

    /// May a device bind it? Not if another one has, or it is the domain's own: a guest can name any port.
    [[nodiscard]] virtual bool port_is_free(std::uint32_t port) const = 0;
    /// The guest's events on `port` go to `handler` until unbind_port(). Precondition: port_is_free().
    virtual void bind_port(std::uint32_t port, std::function<void()> handler) = 0;
    virtual void unbind_port(std::uint32_t port) = 0;
    /// Raise the guest's event channel at the end of this round.
    virtual void notify(std::uint32_t port) = 0;
    /// Runs `what` once at the end of this round, before it submits (to batch work of one round); or of the next one,
    /// where deferred work goes on deferring.
    virtual void defer(std::function<void()> what) = 0;
    /// Calls `completion` after `delay`, with result 0; with -ECANCELED where the thread ends before. At most one per
    /// Completion at a time.
    virtual void after(std::chrono::nanoseconds delay, Completion& completion) = 0;
};

} // namespace parapet::io
