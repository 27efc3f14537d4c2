// SPDX-License-Identifier: Apache-2.0
#include "vmm/vcpu_thread.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <pthread.h>
#include <sys/ioctl.h>
#include <utility>

namespace parapet::vmm {

namespace {

/// Interrupts KVM_RUN; chosen from the real-time signals so that nobody else's handler is in the way.
int kick_signal() {
    return SIGRTMIN + 3;
}

void install_kick_handler() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(kick_signal(), &action, nullptr);
}

const char* exit_name(std::uint32_t reason) {
    switch (reason) {
    case KVM_EXIT_IO:
        return "io";
    case KVM_EXIT_INTR:
        return "signal";
    case KVM_EXIT_HLT:
        return "halt";
    case KVM_EXIT_MMIO:
        return "mmio";
    case KVM_EXIT_SHUTDOWN:
        return "shutdown";
    case KVM_EXIT_INTERNAL_ERROR:
        return "internal_error";
    case KVM_EXIT_FAIL_ENTRY:
        return "fail_entry";
    case KVM_EXIT_DEBUG:
        return "debug";
    default:
        return "other";
    }
}

} // namespace

VcpuThread::VcpuThread(KvmVcpu& vcpu, RequestServer& requests, std::function<void(DomainStop)> ended)
    : vcpu_{vcpu}, requests_{requests}, ended_{std::move(ended)} {}

VcpuThread::~VcpuThread() {
    if (thread_.joinable()) {
        stop();
        join();
    }
}

void VcpuThread::start() {
    install_kick_handler();
    thread_ = std::thread{[this] { run(); }};
}

void VcpuThread::stop() {
    // A kick that comes before KVM_RUN is not lost: KVM looks at immediate_exit when it starts.
    stop_ = true;
    std::atomic_ref{vcpu_.state().immediate_exit}.store(1);
    if (thread_.joinable()) {
        ::pthread_kill(thread_.native_handle(), kick_signal());
    }
}

void VcpuThread::join() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

std::map<std::string, std::uint64_t> VcpuThread::exits() const {
    std::map<std::string, std::uint64_t> result;
    for (std::uint32_t reason = 0; reason < exits_.size(); reason++) {
        if (exits_[reason] != 0) {
            result[exit_name(reason)] += exits_[reason];
        }
    }
    return result;
}

void VcpuThread::run() {
    (void)::pthread_setname_np(::pthread_self(), "vcpu0");
    DomainStop stop{DomainStop::Kind::host_failure, {}, {}};
    try {
        stop = run_until_stop();
    } catch (const std::exception& error) {
        stop.message = std::string{"the host failed while it ran the domain ("} + error.what() + "); free some memory";
    }
    ended_(std::move(stop));
}

DomainStop VcpuThread::run_until_stop() {
    kvm_run& state = vcpu_.state();
    for (;;) {
        if (stop_) {
            return {DomainStop::Kind::asked, {}, {}};
        }
        if (::ioctl(vcpu_.fd(), KVM_RUN, 0) != 0) {
            if (errno == EINTR || errno == EAGAIN) {
                exits_[KVM_EXIT_INTR]++;
                continue;
            }
            if (errno == EFAULT || errno == ENOMEM) {
                return {DomainStop::Kind::host_failure,
                        "the host has no memory left for the domain; free some, or lower --memory",
                        {}};
            }
            return {DomainStop::Kind::host_failure, kvm_error("run the guest").message, {}};
        }
        const std::uint32_t reason = state.exit_reason;
        exits_[reason < exits_.size() ? reason : 0]++;
        if (steps_ && steps_->on_exit()) {
            continue;
        }
        if (reason == KVM_EXIT_IO && state.io.port == doorbell::REQUEST_PORT && state.io.direction == KVM_EXIT_IO_OUT) {
            if (auto stop = requests_.serve()) {
                return *stop;
            }
            if (steps_) {
                steps_->after_request();
            }
        } else if (reason == KVM_EXIT_IO && state.io.port == doorbell::DOORBELL_PORT) {
            continue; // the doorbell is bound to an eventfd; a stray read of it means nothing
        } else if (reason != KVM_EXIT_INTR) {
            return unexpected_exit();
        }
    }
}

DomainStop VcpuThread::unexpected_exit() {
    kvm_regs regs{};
    kvm_sregs sregs{};
    (void)::ioctl(vcpu_.fd(), KVM_GET_REGS, &regs);
    (void)::ioctl(vcpu_.fd(), KVM_GET_SREGS, &sregs);
    const kvm_run& state = vcpu_.state();
    char text[1024];
    std::snprintf(text, sizeof(text),
                  "---- virtual CPU stopped: %s (exit reason %u, suberror %u) ----\n"
                  "  rip %016llx cs %04x rflags %08llx rsp %016llx ss %04x\n"
                  "  rax %016llx rbx %016llx rcx %016llx rdx %016llx rsi %016llx rdi %016llx\n"
                  "  cr0 %llx cr2 %016llx cr3 %llx cr4 %llx efer %llx\n",
                  exit_name(state.exit_reason), state.exit_reason,
                  state.exit_reason == KVM_EXIT_INTERNAL_ERROR ? state.internal.suberror : 0, regs.rip,
                  sregs.cs.selector, regs.rflags, regs.rsp, sregs.ss.selector, regs.rax, regs.rbx, regs.rcx, regs.rdx,
                  regs.rsi, regs.rdi, sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.efer);
    return {DomainStop::Kind::crash, "the guest stopped its virtual CPU for good", text};
}

} // namespace parapet::vmm
