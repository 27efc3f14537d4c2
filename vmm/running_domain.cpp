// SPDX-License-Identifier: Apache-2.0
#include "vmm/running_domain.hpp"

#include "iorings/xenstore/domain_tree.hpp"
#include "support/line_limit.hpp"
#include "support/log_output.hpp"
#include "vmm/control/control_server.hpp"
#include "vmm/process_memory.hpp"
#include "vmm/run_handlers.hpp"
#include "vmm/text_limit.hpp"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/eventfd.h>
#include <unistd.h>

namespace parapet::vmm {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using End = DomainResult::End;

double seconds(Clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
}

} // namespace

Result<void> RunningDomain::connect(const Uuid& uuid, DomainSources& sources) {
    if (auto bound = connect_doorbell(); !bound) {
        return bound;
    }
    if (auto made = connect_store(uuid); !made) {
        return made;
    }
    connect_console(sources.console());
    return connect_devices(sources);
}

SandboxNeeds RunningDomain::sandbox_needs() const {
    return {.shared_memory = !ram_.anonymous()};
}

Result<void> RunningDomain::connect_doorbell() {
    doorbell_fd_ = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    interrupt_fd_ = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (doorbell_fd_.get() < 0 || interrupt_fd_.get() < 0) {
        return Error{std::string{"cannot make an eventfd ("} + std::strerror(errno) +
                     "); raise the limit of open files (ulimit -n)"};
    }
    if (auto bound = vm_.bind_doorbell(doorbell::DOORBELL_PORT, doorbell_fd_.get()); !bound) {
        return bound;
    }
    if (auto bound = vm_.bind_interrupt(interrupt_fd_.get(), doorbell::MAILBOX_VECTOR, 0); !bound) {
        return bound;
    }
    ports_.emplace(*place_.mailbox, interrupt_fd_.get());
    return {};
}

Result<void> RunningDomain::connect_store(const Uuid& uuid) {
    xenstore::DomainTreeConfig tree;
    tree.domid = xenstore::DomId{guest_domid};
    tree.name = config_.name;
    tree.uuid = uuid_text(uuid);
    tree.memory_target_kib = tree.memory_max_kib = config_.memory_bytes >> 10;
    tree.console_ring_ref = built_.console_mfn;
    tree.console_port = console_port;
    tree.store_ring_ref = built_.store_mfn;
    tree.store_port = store_port;
    tree.kernel = config_.boot.label();
    tree.cmdline = config_.cmdline;
    if (auto made = xenstore::build_domain_tree(store_, tree); !made) {
        return made;
    }
    connection_.emplace(store_, tree.domid);
    // A guest can break its ring and connect again as often as it likes.
    store_ring_.emplace(*connection_, ram_.frame(built_.store_mfn), LineLimit{[](std::string_view text) {
        log_text("parapet: xenstore: " + std::string{text} + "\n");
    }});
    store_service_.emplace(io_, *store_ring_, [this] { ports_->notify(store_port); });
    connection_->set_output_listener([this] { store_service_->pump(); });
    return {};
}

void RunningDomain::connect_console(std::shared_ptr<console::ConsoleStreams> streams) {
    streams_ = std::move(streams);
    if (streams_->in_is_tty) {
        terminal_.emplace(config_.console.input_fd);
    }
    console::ConsoleHooks hooks;
    hooks.notify_guest = [this] { ports_->notify(console_port); };
    hooks.on_output = [this](std::string_view text) {
        marker_.feed(text);
        if (config_.control != nullptr) {
            config_.control->console_said(text);
        }
    };
    hooks.on_closed = [this](std::string_view reason) {
        end(End::left, 1, "the console closed (" + std::string{reason} + "), which ended the domain");
    };
    hooks.on_escape = [this] { end(End::left, 0, {}); };
    hooks.log = [](std::string_view text) { log_text("parapet: " + std::string{text} + "\n"); };
    console_.emplace(io_, console::ConsoleRing{*ram_.frame_as<abi::xencons_interface>(built_.console_mfn)}, streams_,
                     std::move(hooks));
}

Result<void> RunningDomain::connect_devices(DomainSources& sources) {
    io_thread_ = &sources.io();
    grants_.emplace(ram_.frames(), *place_.mailbox, place_.frame_table, place_.host_use, place_.max_mfn,
                    place_.domain_first_mfn);
    devices::BackendContext context{
        .io = *io_thread_, .grants = *grants_, .control = io_, .log = [](std::string_view text) {
            log_text("parapet: " + std::string{text} + "\n");
        }};
    devices_.emplace(sources.devices(), config_.devices, std::move(context), store_, xenstore::DomId{guest_domid});
    return devices_->start();
}

void RunningDomain::on_port(std::uint32_t port) {
    if (port == store_port) {
        store_service_->pump();
    } else if (port == console_port) {
        console_->on_guest_kick();
    }
}

/// The I/O thread hears the guest; what is not a device's comes here.
void RunningDomain::begin_io() {
    io_before_ = io_thread_->statistics();
    io::IoThread::Life life;
    life.doorbell = doorbell_fd_.get();
    life.interrupt = interrupt_fd_.get();
    life.take_ports = [this](const auto& call) { ports_->take(call); };
    life.mark_port = [this](std::uint32_t port) { ports_->mark(port); };
    life.own_ports = {store_port, console_port};
    life.other_port = [this](std::uint32_t port) {
        // One at a time: the guest may ring faster than the control thread listens.
        if ((port == store_port || port == console_port) && !kicked_[port].exchange(true)) {
            asio::post(io_, [this, port] {
                kicked_[port] = false;
                on_port(port);
            });
        }
    };
    life.memory = ram_.frames();
    io_thread_->begin(std::move(life));
}

/// The vCPUs have stopped: wait until no device uses the guest's memory. False: one does not let go.
bool RunningDomain::end_io() {
    constexpr std::chrono::seconds patience{45}; // an NBD disk waits for its server for 30 of them
    bool done = false;
    devices_->stop([this, &done] {
        done = true;
        io_.stop();
    });
    io_.restart();
    if (!done) {
        run_handlers(io_, Clock::now() + patience, [](const std::exception&) {}); // it is over already
    }
    if (done) {
        io_thread_->end();
    }
    return done;
}

void RunningDomain::wait_for_signals() {
    signals_->async_wait([this](const boost::system::error_code& error, int signal) {
        if (error) {
            return;
        }
        if (signal == SIGTERM && !shutting_down_ && guest_heeds_shutdown()) {
            shut_down_by_guest(signal);
            wait_for_signals();
        } else {
            end_by_signal(signal);
        }
    });
}

void RunningDomain::end_by_signal(int signal) {
    end(End::left, 128 + signal, "ended by signal " + std::to_string(signal));
}

/// A guest that watches control/shutdown says so (Linux: drivers/xen/manage.c).
bool RunningDomain::guest_heeds_shutdown(std::string_view how) const {
    const auto feature =
        store_.read("/local/domain/" + std::to_string(guest_domid) + "/control/feature-" + std::string{how});
    return feature && *feature == "1";
}

/// Ask the guest to power off, and end the domain if it has not by then.
void RunningDomain::shut_down_by_guest(int signal) {
    constexpr std::chrono::seconds patience{10};
    shutting_down_ = true;
    if (!xenstore::request_shutdown(store_, xenstore::DomId{guest_domid}, "poweroff")) {
        end_by_signal(signal);
        return;
    }
    shutdown_patience_.emplace(io_, patience);
    shutdown_patience_->async_wait([this, signal](const boost::system::error_code& error) {
        if (!error) {
            end_by_signal(signal);
        }
    });
}

/// The first end counts; what follows is its consequence.
void RunningDomain::end(End how, int exit_code, std::string message, std::string report) {
    if (ended_) {
        return;
    }
    ended_ = true;
    result_.end = how;
    result_.exit_code = exit_code;
    result_.message = std::move(message);
    result_.report = std::move(report);
    if (thread_) {
        thread_->stop();
    }
    io_.stop();
}

void RunningDomain::on_stop(const DomainStop& stop) {
    switch (stop.kind) {
    case DomainStop::Kind::poweroff:
        // What the guest said last.
        store_service_->pump();
        console_->on_guest_kick();
        end(End::powered_off, xenstore::exit_code(store_, xenstore::DomId{guest_domid}).value_or(0), stop.message);
        return;
    case DomainStop::Kind::reboot:
        end(End::rebooted, 0, stop.message);
        return;
    case DomainStop::Kind::crash:
        end(End::crashed, 0, stop.message, stop.report);
        return;
    case DomainStop::Kind::host_failure:
        end(End::failed, 0, stop.message, stop.report);
        return;
    case DomainStop::Kind::asked:
        return;
    }
}

DomainResult RunningDomain::run() {
    const auto guest_log = std::make_shared<TextLimit>(log_text);
    requests_.emplace(
        ram_, *place_.mailbox, place_.domain_first, [guest_log](std::string_view text) { (*guest_log)(text); },
        [this](std::span<const std::byte* const> pages) { io_thread_->forget_memory(pages); });
    thread_.emplace(vcpu_, *requests_,
                    [this](DomainStop stop) { asio::post(io_, [this, stop = std::move(stop)] { on_stop(stop); }); });
    thread_->count_steps(StepCounter::from_environment(vcpu_, ram_, place_));
    begin_io();
    std::optional<control::ControlServer::Serving> serving; // until the devices have let go
    try {
        start(serving);
        const auto keep_running = asio::make_work_guard(io_);
        run_handlers(io_, [this](const std::exception& error) { fail(error); });
    } catch (const std::exception& error) {
        fail(error);
    }
    thread_->join();
    result_.statistics.run_s = seconds(Clock::now() - started_);
    if (!end_io()) {
        stuck_ = true;
        result_.end = End::failed;
        result_.message = "a disk or network operation of the domain does not end; its storage or server hangs";
    }
    constexpr std::chrono::milliseconds last_words{2000};
    (void)console_->finish(last_words);
    fill_statistics();
    terminal_.reset();
    return std::move(result_);
}

void RunningDomain::start(std::optional<control::ControlServer::Serving>& serving) {
    signals_.emplace(io_, SIGINT, SIGTERM, SIGHUP);
    wait_for_signals();
    if (config_.deadline) {
        deadline_.emplace(io_, *config_.deadline);
        deadline_->async_wait([this](const boost::system::error_code& error) {
            if (!error) {
                end(End::timed_out, 0, {});
            }
        });
    }
    serving.emplace(config_.control, io_, static_cast<control::DomainLife&>(*this));
    console_->start();
    started_ = Clock::now();
    marker_.start(started_);
    thread_->start();
    if (config_.running) {
        config_.running();
    }
}

/// Of this process, not of the guest. The domain ends in order all the same: its devices are in the guest's memory.
void RunningDomain::fail(const std::exception& error) {
    end(End::failed, 0,
        std::string{"the host failed while it served the domain ("} + error.what() +
            "); free some memory, or raise the limit of open files (ulimit -n)");
}

void RunningDomain::fill_statistics() {
    DomainStatistics& statistics = result_.statistics;
    statistics.time_to_init_s = marker_.host_seconds();
    statistics.guest_uptime_at_init_s = marker_.guest_uptime();
    statistics.user_exits = thread_->exits();
    statistics.kvm = vcpu_.statistics();
    std::memcpy(&statistics.counters, &place_.mailbox->counters, sizeof(statistics.counters));
    statistics.frames_released = requests_->frames_released();
    statistics.io = io_thread_->statistics() - io_before_;
    statistics.devices = devices_->statistics();
    const std::uint64_t total = ram_.layout().frames;
    statistics.guest_touched_bytes = ram_.resident(place_.domain_first, total - place_.domain_first);
    const std::uint64_t nucleus_bytes = ram_.resident(0, place_.domain_first);
    const std::uint64_t counted = ram_.anonymous() ? statistics.guest_touched_bytes + nucleus_bytes : 0;
    statistics.memory_overhead_bytes = own_memory_bytes() - counted + nucleus_bytes;
}

} // namespace parapet::vmm
