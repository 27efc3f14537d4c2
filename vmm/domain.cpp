// SPDX-License-Identifier: Apache-2.0
// Puts a domain together: sources, memory, nucleus, guest, virtual machine; then lets it run.
#include "vmm/domain.hpp"

#include "pv-abi/boot_features.hpp"
#include "vmm/bus_error.hpp"
#include "vmm/domain_builder.hpp"
#include "vmm/domain_sources.hpp"
#include "vmm/fixed_m2p.hpp"
#include "vmm/nucleus_loader.hpp"
#include "vmm/running_domain.hpp"
#include "vmm/sandbox.hpp"
#include "vmm/tsc.hpp"
#include "vmm/uuid.hpp"
#include "vmm/vcpu_setup.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <random>

namespace parapet::vmm {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t most_frames = 512ULL << (30 - 12); // what the nucleus's direct map holds (doorbell.hpp)

DomainResult fail(const Error& error) {
    DomainResult result;
    result.message = error.message;
    return result;
}

/// What this process opened for its domain; a later life of the domain finds it again.
Result<DomainSources*> sources_for(const DomainConfig& config) {
    static std::optional<DomainSources> kept;
    if (!kept || config.reboots == 0) {
        auto opened = DomainSources::open(config);
        if (!opened) {
            return opened.error();
        }
        kept.reset();
        kept.emplace(*std::move(opened));
    } else {
        kept->reboot();
    }
    return &*kept;
}

Result<MachineLayout> lay_out(std::uint64_t pages) {
    MachineLayout layout;
    layout.frames = nucleus_frames(pages) + pages;
    if (pages >= most_frames || layout.end() > most_frames) {
        return Error{"a domain of " + std::to_string(pages * page_size >> 30) +
                     " GiB is more than this version can hold; use a --memory of at most 500G"};
    }
    return layout;
}

Result<KvmVm> make_vm(const KvmSystem& system, const GuestRam& ram) {
    auto vm = KvmVm::create(system);
    if (!vm) {
        return vm;
    }
    const MachineLayout& layout = ram.layout();
    const std::uint64_t low = layout.low_end() * page_size;
    if (auto added = vm->add_memory(0, 0, ram.base(), low); !added) {
        return added.error();
    }
    if (layout.end() > MachineLayout::high_start) {
        constexpr std::uint64_t high = MachineLayout::high_start * page_size;
        if (auto added = vm->add_memory(1, high, ram.base() + low, ram.bytes() - low); !added) {
            return added.error();
        }
    }
    return vm;
}

void complete_boot_info(doorbell::BootInfo& boot, const DomainSources& sources, const ClockReading& clock,
                        bool has_cpuid_faulting, bool linear_page_tables, const Uuid& uuid) {
    boot.tsc_khz = clock.tsc_khz;
    boot.boot_tsc = clock.guest_tsc;
    boot.wall_clock_ns = clock.wall_clock_ns;
    boot.xcr0 = sources.substrate().xcr0;
    boot.syscall_arrival = sources.substrate().syscall_arrival;
    boot.domain.features = (sources.substrate().ts_ignored ? doorbell::BOOT_TS_IGNORED : 0) |
                           (has_cpuid_faulting ? doorbell::BOOT_CPUID_FAULTING : 0) |
                           (linear_page_tables ? doorbell::BOOT_LINEAR_TABLES : 0);
    boot.hypercall_instruction_length = 2;
    boot.has_nx = 1;
    const auto& leaves = sources.cpuid().guest;
    boot.nr_cpuid = static_cast<std::uint32_t>(leaves.size());
    std::copy(leaves.begin(), leaves.end(), boot.cpuid);
    std::copy(uuid.begin(), uuid.end(), boot.uuid);
}

DomainRequest request_from(const DomainConfig& config, std::uint64_t pages) {
    DomainRequest request;
    request.pages = pages;
    request.cmdline = config.cmdline;
    request.shuffle = config.shuffle;
    request.domid = guest_domid;
    request.store_port = store_port;
    request.console_port = console_port;
    return request;
}

struct Assembled {
    std::unique_ptr<RunningDomain> domain;
    std::string kernel_version;
};

Result<Assembled> assemble(const DomainConfig& config, DomainSources& sources, doorbell::Home home) {
    auto kernel = sources.load_kernel();
    if (!kernel) {
        return kernel.error();
    }
    if (auto checked = check_fixed_m2p(kernel->notes, sources.substrate()); !checked) {
        return checked.error();
    }
    const std::uint64_t pages = config.memory_bytes / page_size;
    const auto layout = lay_out(pages);
    if (!layout) {
        return layout.error();
    }
    auto ram = GuestRam::create(*layout);
    if (!ram) {
        return ram.error();
    }
    std::random_device random;
    const std::uint64_t seed = std::uint64_t{random()} << 32 | random();
    NucleusPlace place = load_nucleus(*ram, {home, sources.substrate().m2p_slot, 1, seed});
    auto built = build_domain(*ram, place, *kernel, sources.initrd(), request_from(config, pages));
    if (!built) {
        return built.error();
    }
    kernel->release();
    auto vm = make_vm(sources.system(), *ram);
    if (!vm) {
        return vm.error();
    }
    auto vcpu = KvmVcpu::create(sources.system(), *vm, 0);
    if (!vcpu) {
        return vcpu.error();
    }
    const auto clock = read_clock(sources.system(), *vcpu);
    if (!clock) {
        return clock.error();
    }
    const Uuid uuid = random_uuid();
    complete_boot_info(*place.boot, sources, *clock, has_cpuid_faulting(*vcpu, sources.substrate()),
                       config.linear_page_tables, uuid);
    if (auto set = set_up_vcpu(*vcpu, 0, place, sources.substrate(), sources.cpuid()); !set) {
        return set.error();
    }
    auto domain =
        std::make_unique<RunningDomain>(config, *std::move(ram), place, *built, *std::move(vm), *std::move(vcpu));
    if (auto connected = domain->connect(uuid, sources); !connected) {
        return connected.error();
    }
    return Assembled{std::move(domain), kernel->kernel_version};
}

DomainResult live(const DomainConfig& config) {
    const auto begin = Clock::now();
    auto sources = sources_for(config);
    if (!sources) {
        return fail(sources.error());
    }
    const Substrate& substrate = (*sources)->substrate();
    const doorbell::Home home = config.home.value_or(substrate.home);
    auto assembled = assemble(config, **sources, home);
    if (!assembled) {
        return fail(assembled.error());
    }
    if (config.before_confined && config.reboots == 0) {
        config.before_confined();
    }
    if (auto confined = enter_sandbox(assembled->domain->sandbox_needs()); !confined) {
        return fail(confined.error());
    }
    const double build_s = std::chrono::duration<double>(Clock::now() - begin).count();
    DomainResult result = assembled->domain->run();
    if (assembled->domain->stuck()) {
        (void)assembled->domain.release();
    }
    result.statistics.build_s = build_s;
    result.statistics.substrate = substrate.name;
    result.statistics.home = home == doorbell::Home::ring3 ? "ring3" : "ring0";
    result.statistics.kernel_version = assembled->kernel_version;
    return result;
}

} // namespace

DomainResult run_domain(const DomainConfig& config) {
    const BusErrorGuard guard;
    try {
        return live(config);
    } catch (const std::bad_alloc&) {
        return fail(Error{"the host has no memory left for the domain; free some, or lower --memory"});
    } catch (const std::exception& error) {
        return fail(Error{std::string{"the domain cannot be run: "} + error.what() +
                          "; `parapet doctor` says whether this host lacks something"});
    }
}

} // namespace parapet::vmm
