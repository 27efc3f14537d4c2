// SPDX-License-Identifier: Apache-2.0
#include "vmm/domain.hpp"

#include "backends/console/console_backend.hpp"
#include "backends/console/terminal.hpp"
#include "iorings/xenstore/connection.hpp"
#include "iorings/xenstore/domain_tree.hpp"
#include "iorings/xenstore/ring_transport.hpp"
#include "vmm/cpuid_policy.hpp"
#include "vmm/domain_builder.hpp"
#include "vmm/image/kernel_cache.hpp"
#include "vmm/init_marker.hpp"
#include "vmm/nucleus_loader.hpp"
#include "vmm/port_mailbox.hpp"
#include "vmm/process_memory.hpp"
#include "vmm/requests.hpp"
#include "vmm/substrate.hpp"
#include "vmm/tsc.hpp"
#include "vmm/vcpu_setup.hpp"
#include "vmm/vcpu_thread.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <random>
#include <sys/eventfd.h>
#include <unistd.h>

namespace parapet::vmm {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using End = DomainResult::End;

constexpr std::uint32_t guest_domid = 1;
constexpr std::uint32_t store_port = 1;
constexpr std::uint32_t console_port = 2;

double seconds(Clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
}

void to_stderr(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
}

std::array<std::uint8_t, 16> random_uuid() {
    std::random_device source;
    std::array<std::uint8_t, 16> bytes{};
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(source()); });
    bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);
    bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
    return bytes;
}

std::string uuid_text(const std::array<std::uint8_t, 16>& bytes) {
    std::string text;
    char two[3];
    for (std::size_t i = 0; i < bytes.size(); i++) {
        std::snprintf(two, sizeof(two), "%02x", bytes[i]);
        text += two;
        if (i == 3 || i == 5 || i == 7 || i == 9) {
            text += '-';
        }
    }
    return text;
}

/// Everything that lives as long as one domain runs. Members are destroyed in reverse order: threads and backends
/// first.
class RunningDomain {
public:
    RunningDomain(const DomainConfig& config, GuestRam ram, NucleusPlace place, BuiltDomain built, KvmSystem system,
                  KvmVm vm, KvmVcpu vcpu)
        : config_{config}, ram_{std::move(ram)}, place_{place}, built_{built}, system_{std::move(system)},
          vm_{std::move(vm)}, vcpu_{std::move(vcpu)} {}

    /// Connect store, console and doorbell.
    Result<void> connect(const std::array<std::uint8_t, 16>& uuid);
    /// Run to the end.
    DomainResult run();

    [[nodiscard]] GuestRam& ram() { return ram_; }

private:
    void wait_for_doorbell();
    void wait_for_signals();
    void on_port(std::uint32_t port);
    void pump_store();
    void end(End how, int exit_code, std::string message, std::string report = {});
    void on_stop(DomainStop stop);
    void fill_statistics();

    const DomainConfig& config_;
    GuestRam ram_;
    NucleusPlace place_;
    BuiltDomain built_;
    KvmSystem system_;
    KvmVm vm_;
    KvmVcpu vcpu_;
    UniqueFd doorbell_fd_, interrupt_fd_;

    asio::io_context io_{1};
    std::optional<asio::posix::stream_descriptor> doorbell_;
    std::optional<asio::signal_set> signals_;
    std::optional<asio::steady_timer> deadline_;
    std::optional<PortMailbox> ports_;
    xenstore::Store store_;
    std::optional<xenstore::Connection> connection_;
    std::optional<xenstore::RingTransport> store_ring_;
    std::shared_ptr<console::ConsoleStreams> streams_;
    std::optional<console::Terminal> terminal_;
    std::optional<console::ConsoleBackend> console_;
    InitMarker marker_;
    std::optional<RequestServer> requests_;
    std::optional<VcpuThread> thread_;
    DomainResult result_;
    bool ended_ = false;
    Clock::time_point started_;
};

Result<void> RunningDomain::connect(const std::array<std::uint8_t, 16>& uuid) {
    doorbell_fd_ = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    interrupt_fd_ = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (doorbell_fd_.get() < 0 || interrupt_fd_.get() < 0) {
        return Error{std::string{"cannot make an eventfd: "} + std::strerror(errno)};
    }
    if (auto bound = vm_.bind_doorbell(doorbell::DOORBELL_PORT, doorbell_fd_.get()); !bound) {
        return bound;
    }
    if (auto bound = vm_.bind_interrupt(interrupt_fd_.get(), doorbell::MAILBOX_VECTOR, 0); !bound) {
        return bound;
    }
    ports_.emplace(*place_.mailbox, interrupt_fd_.get());

    xenstore::DomainTreeConfig tree;
    tree.domid = xenstore::DomId{guest_domid};
    tree.name = config_.name;
    tree.uuid = uuid_text(uuid);
    tree.memory_target_kib = tree.memory_max_kib = config_.memory_bytes >> 10;
    tree.console_ring_ref = built_.console_mfn;
    tree.console_port = console_port;
    tree.store_ring_ref = built_.store_mfn;
    tree.store_port = store_port;
    tree.kernel = config_.kernel;
    tree.cmdline = config_.cmdline;
    if (auto made = xenstore::build_domain_tree(store_, tree); !made) {
        return made;
    }
    connection_.emplace(store_, tree.domid);
    store_ring_.emplace(*connection_, ram_.frame(built_.store_mfn),
                        [](std::string_view text) { to_stderr("parapet: xenstore: " + std::string{text} + "\n"); });
    connection_->set_output_listener([this] { pump_store(); });

    auto streams = console::open_console(config_.console);
    if (!streams) {
        return streams.error();
    }
    streams_ = std::make_shared<console::ConsoleStreams>(std::move(*streams));
    if (streams_->in_is_tty) {
        terminal_.emplace(config_.console.input_fd);
    }
    console::ConsoleHooks hooks;
    hooks.notify_guest = [this] { ports_->notify(console_port); };
    hooks.on_output = [this](std::string_view text) { marker_.feed(text); };
    hooks.on_closed = [this](std::string_view reason) {
        end(End::left, 0, "the console closed (" + std::string{reason} + "), which ended the domain");
    };
    hooks.on_escape = [this] { end(End::left, 0, {}); };
    hooks.log = [](std::string_view text) { to_stderr("parapet: " + std::string{text} + "\n"); };
    console_.emplace(io_, console::ConsoleRing{*ram_.frame_as<abi::xencons_interface>(built_.console_mfn)}, streams_,
                     std::move(hooks));
    return {};
}

void RunningDomain::pump_store() {
    const auto moved = store_ring_->pump();
    if (moved.notify) {
        ports_->notify(store_port);
    }
    if (moved.again) {
        asio::post(io_, [this] { pump_store(); });
    }
}

void RunningDomain::on_port(std::uint32_t port) {
    if (port == store_port) {
        pump_store();
    } else if (port == console_port) {
        console_->on_guest_kick();
    }
}

void RunningDomain::wait_for_doorbell() {
    doorbell_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
        if (error) {
            return;
        }
        std::uint64_t count = 0;
        (void)!::read(doorbell_fd_.get(), &count, sizeof(count));
        ports_->take([this](std::uint32_t port) { on_port(port); });
        wait_for_doorbell();
    });
}

void RunningDomain::wait_for_signals() {
    signals_.emplace(io_, SIGINT, SIGTERM, SIGHUP);
    signals_->async_wait([this](const boost::system::error_code& error, int signal) {
        if (!error) {
            end(End::left, 128 + signal, "ended by signal " + std::to_string(signal));
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
    thread_->stop();
    io_.stop();
}

void RunningDomain::on_stop(DomainStop stop) {
    switch (stop.kind) {
    case DomainStop::Kind::poweroff:
        ports_->take([this](std::uint32_t port) { on_port(port); }); // what the guest said last
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
    requests_.emplace(ram_, *place_.mailbox, place_.domain_first, to_stderr);
    thread_.emplace(vcpu_, *requests_,
                    [this](DomainStop stop) { asio::post(io_, [this, stop = std::move(stop)] { on_stop(stop); }); });
    thread_->count_steps(StepCounter::from_environment(vcpu_, ram_, place_));
    doorbell_.emplace(io_, ::dup(doorbell_fd_.get()));
    wait_for_doorbell();
    wait_for_signals();
    if (config_.deadline) {
        deadline_.emplace(io_, *config_.deadline);
        deadline_->async_wait([this](const boost::system::error_code& error) {
            if (!error) {
                end(End::timed_out, 0, {});
            }
        });
    }
    const auto keep_running = asio::make_work_guard(io_);
    console_->start();
    started_ = Clock::now();
    marker_.start(started_);
    thread_->start();
    io_.run();
    thread_->join();
    result_.statistics.run_s = seconds(Clock::now() - started_);
    constexpr std::chrono::milliseconds last_words{2000};
    (void)console_->finish(last_words);
    fill_statistics();
    terminal_.reset();
    return std::move(result_);
}

void RunningDomain::fill_statistics() {
    DomainStatistics& statistics = result_.statistics;
    statistics.time_to_init_s = marker_.host_seconds();
    statistics.guest_uptime_at_init_s = marker_.guest_uptime();
    statistics.user_exits = thread_->exits();
    statistics.kvm = vcpu_.statistics();
    std::memcpy(&statistics.counters, &place_.mailbox->counters, sizeof(statistics.counters));
    statistics.frames_released = requests_->frames_released();
    const std::uint64_t total = ram_.layout().frames;
    statistics.guest_touched_bytes = ram_.resident(place_.domain_first, total - place_.domain_first);
    statistics.memory_overhead_bytes = own_memory_bytes() + ram_.resident(0, place_.domain_first);
}

DomainResult fail(const Error& error) {
    DomainResult result;
    result.message = error.message;
    return result;
}

} // namespace

DomainResult run_domain(const DomainConfig& config) {
    const auto begin = Clock::now();
    const auto cache = image::KernelCache::from_environment();
    image::LoadOptions options;
    options.cache = cache ? &*cache : nullptr;
    auto kernel = image::load_kernel(config.kernel, options);
    if (!kernel) {
        return fail(kernel.error());
    }
    auto initrd = image::Initrd::open(config.initrds);
    if (!initrd) {
        return fail(initrd.error());
    }
    auto system = KvmSystem::open();
    if (!system) {
        return fail(system.error());
    }
    auto substrate = probe_substrate(*system);
    if (!substrate) {
        return fail(substrate.error());
    }
    auto supported = system->supported_cpuid();
    if (!supported) {
        return fail(supported.error());
    }
    const doorbell::Home home = config.home.value_or(substrate->home);
    const std::uint64_t pages = config.memory_bytes / page_size;
    MachineLayout layout;
    layout.frames = nucleus_frames(pages) + pages;
    auto ram = GuestRam::create(layout);
    if (!ram) {
        return fail(ram.error());
    }
    NucleusPlace place = load_nucleus(*ram, {home, substrate->m2p_slot, 1});
    const CpuidPolicy policy = make_cpuid_policy(*substrate, *supported);
    const auto uuid = random_uuid();

    DomainRequest request;
    request.pages = pages;
    request.cmdline = config.cmdline;
    request.shuffle = config.shuffle;
    request.domid = guest_domid;
    request.store_port = store_port;
    request.console_port = console_port;
    auto built = build_domain(*ram, place, *kernel, *initrd, request);
    if (!built) {
        return fail(built.error());
    }
    const std::string kernel_version = kernel->kernel_version;
    kernel->release();
    initrd->release();

    auto vm = KvmVm::create(*system);
    if (!vm) {
        return fail(vm.error());
    }
    if (auto added = vm->add_memory(0, 0, ram->base(), layout.low_end() * page_size); !added) {
        return fail(added.error());
    }
    if (layout.end() > MachineLayout::high_start) {
        const std::uint64_t low = layout.low_end() * page_size;
        if (auto added =
                vm->add_memory(1, MachineLayout::high_start * page_size, ram->base() + low, ram->bytes() - low);
            !added) {
            return fail(added.error());
        }
    }
    auto vcpu = KvmVcpu::create(*system, *vm, 0);
    if (!vcpu) {
        return fail(vcpu.error());
    }
    auto clock = read_clock(*system, *vcpu);
    if (!clock) {
        return fail(clock.error());
    }
    doorbell::BootInfo& boot = *place.boot;
    boot.tsc_khz = clock->tsc_khz;
    boot.boot_tsc = clock->guest_tsc;
    boot.wall_clock_ns = clock->wall_clock_ns;
    boot.xcr0 = substrate->xcr0;
    boot.syscall_arrival = substrate->syscall_arrival;
    boot.hypercall_instruction_length = 2;
    boot.has_nx = 1;
    boot.nr_cpuid = static_cast<std::uint32_t>(policy.guest.size());
    std::copy(policy.guest.begin(), policy.guest.end(), boot.cpuid);
    std::copy(uuid.begin(), uuid.end(), boot.uuid);
    if (auto set = set_up_vcpu(*vcpu, 0, place, *substrate, policy); !set) {
        return fail(set.error());
    }

    auto domain = std::make_unique<RunningDomain>(config, std::move(*ram), place, *built, std::move(*system),
                                                  std::move(*vm), std::move(*vcpu));
    if (auto connected = domain->connect(uuid); !connected) {
        return fail(connected.error());
    }
    const double build_s = seconds(Clock::now() - begin);
    DomainResult result = domain->run();
    result.statistics.build_s = build_s;
    result.statistics.substrate = substrate->name;
    result.statistics.home = home == doorbell::Home::ring3 ? "ring3" : "ring0";
    result.statistics.kernel_version = kernel_version;
    return result;
}

} // namespace parapet::vmm
