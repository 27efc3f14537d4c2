// SPDX-License-Identifier: Apache-2.0
#include "vmm/substrate_probe.hpp"

#include "vmm/guest_ram.hpp"
#include "vmm/nucleus_tables.hpp"
#include "vmm/probe_layout.h"
#include "vmm/probe_ways.hpp"
#include "vmm/run_limit.hpp"
#include "vmm/vcpu_setup.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <sys/ioctl.h>

extern "C" {
extern const std::byte probe_code[], probe_code_end[], probe_start[], probe_first[], probe_second[], probe_lstar[],
    probe_vectors[], probe_cstar[], probe_ways[];
}

namespace parapet::vmm {

namespace {

constexpr std::uint64_t frames_of_probe = 48;
constexpr std::uint64_t kernel_data_va = PROBE_KERNEL_VA + PROBE_DATA;
constexpr std::uint64_t gdt_va = PROBE_KERNEL_VA + 0x2000, idt_va = gdt_va + 0x1000, tss_va = idt_va + 0x1000;
constexpr std::uint16_t kernel_cs = 0x8, kernel_ds = 0x10, user_cs32 = 0x23, user_ss = 0x2b, user_cs = 0x33,
                        tss_selector = 0x40;
constexpr std::uint32_t sentinel = 0x50617250;                  // what slot 256 shows
constexpr std::uint32_t processor_features = 1U << 0 | 1U << 9; // leaf 1, ecx: SSE3, SSSE3: every such processor's
constexpr std::uint64_t page_fault_vector = 14;
constexpr std::uint64_t interpreted_factor = 16; // hardware: 1; interpreters: hundreds

std::uint64_t offset_of(const std::byte* symbol) {
    return static_cast<std::uint64_t>(symbol - probe_code);
}

template <typename T>
T load(const std::byte* data, std::size_t at) {
    T value;
    std::memcpy(&value, data + at, sizeof(value));
    return value;
}

template <typename T>
void store(std::byte* data, std::size_t at, const T& value) {
    std::memcpy(data + at, &value, sizeof(value));
}

/// The probe VM's memory, complete before it runs.
struct ProbeMemory {
    std::uint64_t root = 0;
    std::byte* data = nullptr;
};

void fill_descriptors(std::byte* gdt, std::byte* idt, std::byte* tss) {
    constexpr std::uint64_t code0 = 0x00af9b000000ffff, data0 = 0x00cf93000000ffff, data3 = 0x00cff3000000ffff,
                            code3 = 0x00affb000000ffff, compat3 = 0x00cffb000000ffff;
    store(gdt, kernel_cs, code0);
    store(gdt, kernel_ds, data0);
    store(gdt, user_cs32 & ~7U, compat3);
    store(gdt, user_ss & ~7U, data3);
    store(gdt, user_cs & ~7U, code3);
    constexpr std::uint64_t tss_limit = 0x67, busy_tss = 0x8b;
    store(gdt, tss_selector, tss_limit | (tss_va & 0xffffff) << 16 | busy_tss << 40 | (tss_va >> 24 & 0xff) << 56);
    store(gdt, tss_selector + 8, tss_va >> 32);
    for (std::uint64_t vector = 0; vector < 32; vector++) {
        const std::uint64_t target = PROBE_KERNEL_VA + offset_of(probe_vectors) + vector * 16;
        constexpr std::uint64_t interrupt_gate = 0x8e, of_ring3 = 0xee;
        const std::uint64_t gate = vector == 3 || vector == 4 ? of_ring3 : interrupt_gate; // as the nucleus has them
        store(idt, vector * 16,
              (target & 0xffff) | std::uint64_t{kernel_cs} << 16 | gate << 40 | (target >> 16 & 0xffff) << 48);
        store(idt, vector * 16 + 8, target >> 32);
    }
    store(tss, 0x04, kernel_data_va + PROBE_STACK_END);
    store(tss, 0x66, std::uint16_t{0x68}); // no I/O bitmap
}

void write_frame(std::byte* at, std::uint64_t target, std::uint16_t cs = user_cs) {
    const std::uint64_t frame[] = {PROBE_USER_VA + target, cs, 2, PROBE_USER_VA + PROBE_DATA + 0x800, user_ss};
    std::memcpy(at, frame, sizeof(frame));
}

ProbeMemory build(const GuestRam& ram) {
    FrameAllocator frames{1};
    TableBuilder tables{ram, frames};
    const std::uint64_t code = frames.take(), data = frames.take(), gdt = frames.take(3);
    for (const std::uint64_t va : {std::uint64_t{PROBE_KERNEL_VA}, std::uint64_t{PROBE_USER_VA}}) {
        tables.map(va, code, 1, pte::text);
        tables.map(va + PROBE_DATA, data, 1, pte::data);
    }
    tables.map(gdt_va, gdt, 3, pte::data);
    tables.set_slot_flags(doorbell::NUCLEUS_SLOT, pte::user, 0);

    // The other root: the same, and slot 256. The first one must not have it, lest the VM does not even start.
    tables.map(PROBE_SLOT256_VA, data, 1, pte::rodata);
    const std::uint64_t other = frames.take();
    std::memcpy(ram.frame(other), ram.frame(tables.root()), page_size);
    ram.frame_as<std::uint64_t>(tables.root())[doorbell::M2P_SLOT_ABI] = 0;

    std::memcpy(ram.frame(code), probe_code, offset_of(probe_code_end));
    fill_descriptors(ram.frame(gdt), ram.frame(gdt + 1), ram.frame(gdt + 2));
    std::byte* page = ram.frame(data);
    store(page, PROBE_STAGE, std::uint64_t{sentinel} << 32 | PROBE_STAGE_START);
    store(page, PROBE_OTHER_ROOT, other * page_size);
    write_frame(page + PROBE_FIRST_FRAME, offset_of(probe_first));
    write_frame(page + PROBE_SECOND_FRAME, offset_of(probe_second));
    for (std::size_t way = 0; way < PROBE_NR_WAYS; way++) {
        constexpr std::uint64_t spacing = 16, frame_size = 40;
        write_frame(page + PROBE_WAY_FRAMES + way * frame_size, offset_of(probe_ways) + way * spacing,
                    probe_way_list[way].compat ? user_cs32 : user_cs);
    }
    return {tables.root(), page};
}

/// `first_frame`: offset in the data page of what it starts by.
Result<void> set_up(const KvmSystem& system, KvmVcpu& vcpu, std::uint64_t root, std::uint64_t first_frame,
                    const SyscallSetup& syscall) {
    auto cpuid = system.supported_cpuid();
    if (!cpuid) {
        return cpuid.error();
    }
    // The leaf that tells programs what they may use, and not one of a hypervisor's: a KVM may answer those itself and
    // still show its processor's own features (kernel 6.18's kvm_pvm does).
    for (kvm_cpuid_entry2& entry : *cpuid) {
        if (entry.function == PROBE_CPUID_LEAF) {
            entry.ecx &= ~processor_features;
        }
    }
    if (auto set = vcpu.set_cpuid(*cpuid); !set) {
        return set;
    }
    LongModeStart start;
    start.cs = kernel_cs;
    start.ss = kernel_ds;
    start.data = user_ss;
    start.tss = tss_selector;
    start.tss_base = tss_va;
    start.gdt = {gdt_va, 0xfff};
    start.idt = {idt_va, 0xfff};
    start.root = root * page_size;
    start.rip = PROBE_KERNEL_VA + offset_of(probe_start);
    start.rsp = kernel_data_va + first_frame;
    start.star = std::uint64_t{kernel_cs} << 32;
    start.syscall = syscall;
    return set_long_mode(vcpu, start);
}

/// Exit reason of the VM's end; nothing: time is over.
Result<std::uint32_t> run(KvmVcpu& vcpu, std::chrono::milliseconds limit) {
    const RunLimit alarm{limit};
    for (;;) {
        if (::ioctl(vcpu.fd(), KVM_RUN, 0) == 0) {
            if (vcpu.state().exit_reason != KVM_EXIT_INTR) {
                return vcpu.state().exit_reason;
            }
        } else if (errno != EINTR && errno != EAGAIN) {
            return kvm_error("run its probe");
        }
        if (alarm.over()) {
            return Error{"KVM's probe did not end within " + std::to_string(limit.count()) +
                         " ms; the host is overloaded or its KVM is not one that Parapet knows (`parapet doctor`)"};
        }
    }
}

std::uint64_t least_cycles(const std::byte* data, std::size_t at) {
    const auto rounds = load<std::array<std::uint64_t, PROBE_ROUNDS>>(data, at);
    return std::max<std::uint64_t>(*std::min_element(rounds.begin(), rounds.end()), 1);
}

Result<ProbeFindings> judge(const std::byte* data, std::uint32_t exit_reason) {
    const auto stage = load<std::uint32_t>(data, PROBE_STAGE);
    const auto vector = load<std::uint32_t>(data, PROBE_VECTOR);
    ProbeFindings found;
    const auto unknown = [&](const std::string& what) {
        return Error{"this host's KVM is none that Parapet knows: " + what + " (probe: stage " + std::to_string(stage) +
                     ", exit " + std::to_string(exit_reason) + "); please report it with `parapet doctor --json`"};
    };
    if (stage < PROBE_STAGE_SYSCALL) {
        return unknown("ring-3 code does not run");
    }
    if (stage < PROBE_STAGE_SLOT256) {
        return unknown("a system call at ring 3 does not arrive");
    }
    if (vector == page_fault_vector &&
        load<std::uint64_t>(data, PROBE_CR2) == PROBE_KERNEL_VA + offset_of(probe_lstar)) {
        found.syscall_arrival = doorbell::SyscallArrival::page_fault;
    } else if (vector != PROBE_AT_LSTAR) {
        return unknown("a system call at ring 3 raises exception " + std::to_string(vector));
    }
    const auto answer = load<std::array<std::uint32_t, 3>>(data, PROBE_CPUID);
    found.ring3_native_cpuid = (answer[1] & processor_features) != 0;
    found.ring0_interpreted =
        least_cycles(data, PROBE_RING0_CYCLES) / interpreted_factor > least_cycles(data, PROBE_RING3_CYCLES);
    // A KVM that cannot do it may also have stopped the VM for it.
    found.slot256_works = stage == PROBE_STAGE_END && exit_reason == KVM_EXIT_IO &&
                          load<std::uint32_t>(data, PROBE_SLOT256_VALUE + 4) == sentinel;
    return found;
}

/// One run of the probe's code in a VM of its own.
class ProbeVm {
public:
    static Result<std::unique_ptr<ProbeVm>> create(const KvmSystem& system) {
        MachineLayout layout;
        layout.frames = frames_of_probe;
        auto ram = GuestRam::create(layout);
        if (!ram) {
            return ram.error();
        }
        auto vm = KvmVm::create(system);
        if (!vm) {
            return vm.error();
        }
        if (auto added = vm->add_memory(0, 0, ram->base(), ram->bytes()); !added) {
            return added.error();
        }
        auto vcpu = KvmVcpu::create(system, *vm, 0);
        if (!vcpu) {
            return vcpu.error();
        }
        return std::unique_ptr<ProbeVm>{new ProbeVm{*std::move(ram), *std::move(vm), *std::move(vcpu)}};
    }

    /// KVM's reason for the end.
    Result<std::uint32_t> run_from(const KvmSystem& system, std::uint64_t first_frame, const SyscallSetup& syscall,
                                   std::chrono::milliseconds limit) {
        if (auto set = set_up(system, vcpu_, memory_.root, first_frame, syscall); !set) {
            return set.error();
        }
        return run(vcpu_, limit);
    }
    [[nodiscard]] std::byte* data() const { return memory_.data; }

private:
    ProbeVm(GuestRam ram, KvmVm vm, KvmVcpu vcpu)
        : ram_{std::move(ram)}, memory_{build(ram_)}, vm_{std::move(vm)}, vcpu_{std::move(vcpu)} {}

    GuestRam ram_;
    ProbeMemory memory_;
    KvmVm vm_;
    KvmVcpu vcpu_;
};

/// With SYSCALL set up as the nucleus will have it (syscall_setup).
Result<WayFindings> try_ways(const KvmSystem& system, doorbell::SyscallArrival arrival,
                             std::chrono::milliseconds limit) {
    auto probe = ProbeVm::create(system);
    if (!probe) {
        return probe.error();
    }
    const bool at_ring0 = arrival == doorbell::SyscallArrival::ring0;
    const SyscallSetup syscall{.enabled = at_ring0,
                               .lstar = PROBE_KERNEL_VA + offset_of(probe_lstar),
                               .cstar = at_ring0 ? PROBE_KERNEL_VA + offset_of(probe_cstar) : 0};
    std::byte* data = (*probe)->data();
    store(data, PROBE_STAGE, std::uint32_t{PROBE_STAGE_WAYS});
    if (auto reason = (*probe)->run_from(system, PROBE_WAY_FRAMES, syscall, limit); !reason) {
        return reason.error();
    }
    return check_ways(load<WayArrivals>(data, PROBE_WAYS), load<std::uint32_t>(data, PROBE_WAY),
                      kernel_data_va + PROBE_STACK_END, arrival);
}

} // namespace

Result<ProbeFindings> run_probe(const KvmSystem& system, std::chrono::milliseconds limit) {
    auto probe = ProbeVm::create(system);
    if (!probe) {
        return probe.error();
    }
    const std::uint64_t entry = PROBE_KERNEL_VA + offset_of(probe_lstar);
    auto reason = (*probe)->run_from(system, PROBE_FIRST_FRAME, {.lstar = entry, .cstar = entry}, limit);
    if (!reason) {
        return reason.error();
    }
    auto found = judge((*probe)->data(), *reason);
    if (!found) {
        return found;
    }
    auto ways = try_ways(system, found->syscall_arrival, limit);
    if (!ways) {
        return ways.error();
    }
    found->ways = *std::move(ways);
    return found;
}

} // namespace parapet::vmm
