// SPDX-License-Identifier: Apache-2.0
#include "backends/io/io_thread.hpp"

#include "backends/io/counter.hpp"
#include "backends/io/registered_memory.hpp"
#include "backends/io/restricted_ring.hpp"
#include "backends/io/scheduling.hpp"
#include "support/unique_fd.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace parapet::io {

namespace {

constexpr unsigned most_passes = 8; ///< over deferred work in one round

// Of many operations under way, half may wait for each other for a moment: the disk still has the others to do.
constexpr unsigned gathered_part = 2;
constexpr unsigned most_gathered = 16;
constexpr int depth_memory = 8; ///< rounds
// A moment is a few times what one of our rounds costs, so that waking up anew costs a slow machine no more than a fast
// one.
constexpr int moment_in_rounds = 4;
constexpr std::chrono::nanoseconds least_moment = std::chrono::microseconds{50};
constexpr std::chrono::nanoseconds most_moment = std::chrono::microseconds{200};
constexpr int cost_memory = 8; ///< rounds

void signal_eventfd(int fd) {
    const std::uint64_t one = 1;
    (void)!::write(fd, &one, sizeof(one));
}

class UringThread final : public IoThread {
    using Clock = std::chrono::steady_clock;

public:
    UringThread(std::unique_ptr<RestrictedRing> ring, UniqueFd wake)
        : ring_{std::move(ring)}, memory_{ring_->ring()}, wake_{std::move(wake)}, wake_watch_{*this} {}

    ~UringThread() override {
        if (thread_.joinable()) {
            post([this] { quit_ = true; });
            thread_.join();
        }
    }

    void begin(Life life) override;
    void end() override;
    void post(std::function<void()> what) override;
    void call(const std::function<void()>& what) override;
    void forget_memory(std::span<const std::byte* const> pages) override;
    [[nodiscard]] IoStatistics statistics() const override {
        return {enters_.value(), submitted_.value(), memory_.uses(), doorbells_.value(), signals_.value()};
    }

    io_uring_sqe* entry() override;
    int buffer_index(const void* data, std::size_t length) override { return memory_.index_of(data, length); }
    [[nodiscard]] bool port_is_free(std::uint32_t port) const override {
        return !handlers_.contains(port) && std::ranges::find(life_.own_ports, port) == life_.own_ports.end();
    }
    void bind_port(std::uint32_t port, std::function<void()> handler) override {
        handlers_[port] = std::make_shared<std::function<void()>>(std::move(handler));
    }
    void unbind_port(std::uint32_t port) override { handlers_.erase(port); }
    void notify(std::uint32_t port) override {
        if (life_.mark_port) {
            life_.mark_port(port);
            signal_due_ = true;
        }
    }
    void defer(std::function<void()> what) override { deferred_.push_back(std::move(what)); }
    void under_way(int operations, int requests) override {
        operations_.now += operations;
        requests_.now += requests;
    }
    void after(std::chrono::nanoseconds delay, Completion& completion) override;
    bool look_again(std::function<void()> what) override {
        looks_.push_back(std::move(what));
        return true;
    }
    [[nodiscard]] std::chrono::nanoseconds moment() const override {
        return std::clamp(moment_in_rounds * round_cost_, least_moment, most_moment);
    }

private:
    /// Says when an eventfd is signalled, for as long as it is watched (multi-shot: nobody reads the eventfd).
    class Watch : public Completion {
    public:
        explicit Watch(UringThread& thread) : thread_{thread} {}
        virtual ~Watch() = default;
        void arm(int fd) {
            fd_ = fd;
            thread_.prepare(*this, io_uring_prep_poll_multishot, fd, static_cast<unsigned>(POLLIN));
        }
        void complete(int result, unsigned flags) override {
            if (result >= 0) {
                fired();
            }
            if ((flags & IORING_CQE_F_MORE) == 0) {
                stopped(result);
            }
        }

    protected:
        virtual void fired() = 0;
        virtual void stopped(int result) {
            if (result != -ECANCELED) {
                arm(fd_);
            }
        }
        UringThread& thread_;
        int fd_ = -1;
    };
    class WakeWatch final : public Watch {
        using Watch::Watch;
        void fired() override { thread_.run_posted(); }
    };
    /// Of one life. It stays among the watches until the kernel has ended it, or the thread goes.
    class DoorbellWatch final : public Watch {
    public:
        using Watch::Watch;
        bool over = false;

    private:
        void fired() override {
            if (!over) {
                thread_.doorbells_.add();
                thread_.take_ports();
            }
        }
        void stopped(int result) override {
            if (over) {
                std::erase_if(thread_.doorbell_watches_, [this](const auto& watch) { return watch.get() == this; });
            } else {
                Watch::stopped(result);
            }
        }
    };

    /// Somebody who waits for after(). Of delayed_, until the time has come.
    struct Delayed final : Completion {
        Delayed(UringThread& owner, Completion& whom) : thread{owner}, target{whom} {}
        void complete(int, unsigned) override { thread.finish(*this, 0); }
        UringThread& thread;
        Completion& target;
    };

    void run();
    void round();
    void finish_round();
    void submit();
    void wait();
    void forget_delays();
    void finish(Delayed& delayed, int result);
    void run_posted();
    void take_ports();

    std::unique_ptr<RestrictedRing> ring_;
    RegisteredMemory memory_;
    UniqueFd wake_;
    WakeWatch wake_watch_;
    std::thread thread_;

    std::mutex posted_mutex_;
    std::vector<std::function<void()>> posted_;

    // Of the thread.
    Life life_;
    DoorbellWatch* doorbell_ = nullptr; ///< of doorbell_watches_
    std::vector<std::unique_ptr<DoorbellWatch>> doorbell_watches_;
    std::unordered_map<std::uint32_t, std::shared_ptr<std::function<void()>>> handlers_;
    std::vector<std::function<void()>> deferred_, looks_;
    std::deque<__kernel_timespec> delays_; ///< until they are submitted
    std::unordered_map<const Delayed*, std::unique_ptr<Delayed>> delayed_;
    /// How many are under way, and the most that were lately.
    struct Depth {
        int now = 0, lately = 0;
        int look() { return lately = std::max(now, lately - (lately + depth_memory - 1) / depth_memory); }
    };
    Depth operations_, requests_; ///< of under_way()
    Scheduling scheduling_;
    Clock::time_point round_began_ = Clock::now();
    std::chrono::nanoseconds round_cost_{}; ///< lately
    bool signal_due_ = false;
    bool quit_ = false;

    Counter enters_, submitted_, doorbells_, signals_;
};

void UringThread::begin(Life life) {
    if (!thread_.joinable()) {
        // Signals are the control thread's.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread_ = std::thread{[this] { run(); }};
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    call([this, &life] {
        life_ = std::move(life);
        memory_.begin(life_.memory.base(), life_.memory.bytes());
        doorbell_ = doorbell_watches_.emplace_back(std::make_unique<DoorbellWatch>(*this)).get();
        doorbell_->arm(life_.doorbell);
        take_ports(); // what was said before we listened
    });
}

void UringThread::end() {
    call([this] {
        if (doorbell_ != nullptr) {
            doorbell_->over = true;
            io_uring_sqe* sqe = entry();
            io_uring_prep_poll_remove(sqe, reinterpret_cast<std::uint64_t>(static_cast<Completion*>(doorbell_)));
            io_uring_sqe_set_data(sqe, nullptr); // the watch itself is told
            doorbell_ = nullptr;
        }
        handlers_.clear();
        deferred_.clear();
        looks_.clear();
        signal_due_ = false;
        memory_.end();
        life_ = {};
    });
}

void UringThread::post(std::function<void()> what) {
    {
        const std::lock_guard lock{posted_mutex_};
        posted_.push_back(std::move(what));
        if (posted_.size() > 1) {
            return; // the thread has been woken already
        }
    }
    signal_eventfd(wake_.get());
}

void UringThread::call(const std::function<void()>& what) {
    std::promise<void> done;
    post([&] {
        what();
        done.set_value();
    });
    done.get_future().wait();
}

void UringThread::forget_memory(std::span<const std::byte* const> pages) {
    if (memory_.any_registered(pages)) {
        call([this, pages] {
            submit(); // what this round has prepared names registered buffers by their index
            memory_.forget(pages);
        });
    }
}

void UringThread::run_posted() {
    std::vector<std::function<void()>> due;
    {
        const std::lock_guard lock{posted_mutex_};
        due.swap(posted_);
    }
    for (const auto& what : due) {
        what();
    }
}

void UringThread::take_ports() {
    if (!life_.take_ports) {
        return;
    }
    life_.take_ports([this](std::uint32_t port) {
        const auto found = handlers_.find(port);
        if (found != handlers_.end()) {
            const auto handler = found->second; // it may unbind itself
            (*handler)();
        } else if (life_.other_port) {
            life_.other_port(port);
        }
    });
}

io_uring_sqe* UringThread::entry() {
    for (;;) {
        if (io_uring_sqe* sqe = io_uring_get_sqe(ring_->ring())) {
            submitted_.add();
            return sqe;
        }
        // Full: hand it to the kernel. Its completions wait in the (larger) completion queue.
        submit();
    }
}

void UringThread::submit() {
    enters_.add();
    (void)io_uring_submit(ring_->ring());
    forget_delays();
}

/// The kernel has read those of what it took; it may have left the rest for the next time.
void UringThread::forget_delays() {
    if (io_uring_sq_ready(ring_->ring()) == 0) {
        delays_.clear();
    }
}

void UringThread::after(std::chrono::nanoseconds delay, Completion& completion) {
    const auto count = std::max<std::int64_t>(delay.count(), 1);
    io_uring_sqe* sqe = entry();
    io_uring_prep_timeout(sqe, &delays_.emplace_back(__kernel_timespec{count / 1000000000, count % 1000000000}), 0, 0);
    auto delayed = std::make_unique<Delayed>(*this, completion);
    own(sqe, *delayed);
    delayed_.emplace(delayed.get(), std::move(delayed));
}

void UringThread::finish(Delayed& delayed, int result) {
    Completion& target = delayed.target;
    delayed_.erase(&delayed);
    target.complete(result, 0); // it may wait anew
}

/// What one round's handlers led to: deferred work, then one signal to the guest for all of it. What that defers in
/// its turn may wait for the next round: a guest that posts as fast as we answer must not keep the others waiting.
void UringThread::finish_round() {
    for (unsigned left = most_passes; left != 0 && !deferred_.empty(); left--) {
        const auto due = std::exchange(deferred_, {});
        for (const auto& what : due) {
            what();
        }
    }
    if (signal_due_) {
        signal_due_ = false;
        signals_.add();
        enters_.add();
        signal_eventfd(life_.interrupt);
    }
}

/// Submits, and waits for one completion or a few, or until it is time to look again. An error (EINTR, EBUSY, ETIME)
/// comes with completions to take.
void UringThread::wait() {
    const int depth = operations_.look();
    const unsigned several =
        depth < Scheduling::many ? 1 : std::min(static_cast<unsigned>(depth) / gathered_part, most_gathered);
    if (scheduling_.adapt(requests_.look())) {
        enters_.add();
    }
    enters_.add();
    if (several == 1 && looks_.empty()) {
        (void)io_uring_submit_and_wait(ring_->ring(), 1);
        return;
    }
    io_uring_cqe* first = nullptr;
    __kernel_timespec limit{0, moment().count()};
    const int got = io_uring_submit_and_wait_timeout(ring_->ring(), &first, several, &limit, nullptr);
    if (got == -ETIME && looks_.empty() && io_uring_cq_ready(ring_->ring()) == 0) {
        enters_.add();
        (void)io_uring_submit_and_wait(ring_->ring(), 1);
    }
}

void UringThread::round() {
    finish_round();
    if (!deferred_.empty()) {
        io_uring_sqe* sqe = entry(); // completes at once, to nobody
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data(sqe, nullptr);
    }
    round_cost_ += (Clock::now() - round_began_ - round_cost_) / cost_memory;
    wait();
    round_began_ = Clock::now();
    forget_delays();
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(ring_->ring(), &cqe) == 0) {
        auto* completion = static_cast<Completion*>(io_uring_cqe_get_data(cqe));
        const int result = cqe->res;
        const unsigned flags = cqe->flags;
        io_uring_cqe_seen(ring_->ring(), cqe);
        if (completion != nullptr) {
            completion->complete(result, flags);
        }
    }
    for (const auto& look : std::exchange(looks_, {})) {
        look();
    }
}

void UringThread::run() {
    (void)::prctl(PR_SET_NAME, "io");
    ring_->enable();
    wake_watch_.arm(wake_.get());
    run_posted();
    while (!quit_) {
        round();
    }
    // Once each: who waits anew for ever would keep the process from ending.
    for (const auto& [key, delayed] : std::exchange(delayed_, {})) {
        delayed->target.complete(-ECANCELED, 0);
    }
}

} // namespace

Result<std::unique_ptr<IoThread>> IoThread::create(unsigned entries) {
    auto ring = RestrictedRing::create(entries);
    if (!ring) {
        return ring.error();
    }
    UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!wake.valid()) {
        return Error{std::string{"cannot make an eventfd ("} + std::strerror(errno) +
                     "); raise the limit of open files (ulimit -n)"};
    }
    return std::unique_ptr<IoThread>{std::make_unique<UringThread>(*std::move(ring), std::move(wake))};
}

} // namespace parapet::io
