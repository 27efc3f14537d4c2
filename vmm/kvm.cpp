// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm.hpp"

#include "vmm/kvm_lists.hpp"
#include "vmm/kvm_slots.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace parapet::vmm {

Error kvm_error(const char* what) {
    return Error{std::string{"KVM refused to "} + what + ": " + std::strerror(errno) +
                 "; `parapet doctor` says what this host offers"};
}

Result<KvmSystem> KvmSystem::open() {
    UniqueFd fd{::open("/dev/kvm", O_RDWR | O_CLOEXEC)};
    if (fd.get() < 0) {
        if (errno == EACCES || errno == EPERM) {
            return Error{"no right to use /dev/kvm; join its group with `sudo usermod -aG kvm $USER` and log in again"};
        }
        return Error{"this host has no /dev/kvm (" + std::string{std::strerror(errno)} +
                     "); load kvm_intel or kvm_amd, or run in the laptop rig with tools/laptop"};
    }
    const int version = ::ioctl(fd.get(), KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION) {
        return Error{"/dev/kvm speaks API version " + std::to_string(version) + " and not " +
                     std::to_string(KVM_API_VERSION) + "; use a newer host kernel"};
    }
    auto placed = move_to_slot(std::move(fd), system_slot);
    if (!placed) {
        return placed.error();
    }
    return KvmSystem{*std::move(placed)};
}

int KvmSystem::extension(int capability) const {
    return ::ioctl(fd(), KVM_CHECK_EXTENSION, capability);
}

Result<CpuidTable> KvmSystem::supported_cpuid() const {
    for (std::uint32_t count = 64; count <= 256; count *= 2) {
        KvmList<kvm_cpuid_entry2> list{count};
        if (::ioctl(fd(), kvm_get_supported_cpuid, list.data()) == 0) {
            return list.entries();
        }
        if (errno != E2BIG) {
            break;
        }
    }
    return kvm_error("list the CPUID leaves it supports");
}

Result<KvmVm> KvmVm::create(const KvmSystem& system) {
    int fd = -1;
    do {
        fd = ::ioctl(system.fd(), KVM_CREATE_VM, 0);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return kvm_error("create a virtual machine");
    }
    auto placed = move_to_slot(UniqueFd{fd}, vm_slot);
    if (!placed) {
        return placed.error();
    }
    KvmVm vm{*std::move(placed)};
    fd = vm.fd();
    // Needed on Intel, harmless elsewhere: pages for real-mode emulation, out of the way of our memory.
    constexpr unsigned long tss_address = 0xfffbd000;
    std::uint64_t identity_map = 0xfffbc000;
    (void)::ioctl(fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    (void)::ioctl(fd, KVM_SET_TSS_ADDR, tss_address);
    if (::ioctl(fd, KVM_CREATE_IRQCHIP, 0) != 0) {
        return kvm_error("create its interrupt controller");
    }
    return vm;
}

Result<void> KvmVm::add_memory(std::uint32_t slot, std::uint64_t guest_address, void* host, std::uint64_t bytes) {
    kvm_userspace_memory_region region{};
    region.slot = slot;
    region.guest_phys_addr = guest_address;
    region.memory_size = bytes;
    region.userspace_addr = reinterpret_cast<std::uint64_t>(host);
    if (::ioctl(fd(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
        return kvm_error("take the guest's memory");
    }
    return {};
}

Result<void> KvmVm::bind_doorbell(std::uint16_t port, int eventfd) {
    kvm_ioeventfd bell{};
    bell.addr = port;
    bell.len = 1;
    bell.fd = eventfd;
    bell.flags = KVM_IOEVENTFD_FLAG_PIO;
    if (::ioctl(fd(), KVM_IOEVENTFD, &bell) != 0) {
        return kvm_error("bind the doorbell (KVM_CAP_IOEVENTFD)");
    }
    return {};
}

Result<void> KvmVm::bind_interrupt(int eventfd, std::uint8_t vector, std::uint32_t apic_id) {
    constexpr std::uint32_t gsi = 24; // the first beyond the IOAPIC's pins
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = 0xfee00000U | apic_id << 12;
    entry.u.msi.data = vector;
    KvmList<kvm_irq_routing_entry> routing{std::vector{entry}};
    if (::ioctl(fd(), kvm_set_gsi_routing, routing.data()) != 0) {
        return kvm_error("route an interrupt (KVM_CAP_IRQ_ROUTING)");
    }
    kvm_irqfd irqfd{};
    irqfd.fd = static_cast<std::uint32_t>(eventfd);
    irqfd.gsi = gsi;
    if (::ioctl(fd(), KVM_IRQFD, &irqfd) != 0) {
        return kvm_error("bind an interrupt (KVM_CAP_IRQFD)");
    }
    return {};
}

Result<KvmVcpu> KvmVcpu::create(const KvmSystem& system, const KvmVm& vm, unsigned id) {
    UniqueFd fd{::ioctl(vm.fd(), KVM_CREATE_VCPU, static_cast<unsigned long>(id))};
    if (fd.get() < 0) {
        return kvm_error("create a virtual CPU");
    }
    auto placed = move_to_slot(std::move(fd), first_vcpu_slot + static_cast<int>(id));
    if (!placed) {
        return placed.error();
    }
    fd = *std::move(placed);
    const int size = ::ioctl(system.fd(), KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < static_cast<int>(sizeof(kvm_run))) {
        return kvm_error("say how large a virtual CPU's state is");
    }
    void* run = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (run == MAP_FAILED) {
        return kvm_error("share a virtual CPU's state");
    }
    return KvmVcpu{std::move(fd), static_cast<kvm_run*>(run), static_cast<std::size_t>(size)};
}

KvmVcpu::KvmVcpu(KvmVcpu&& other) noexcept
    : fd_{std::move(other.fd_)}, run_{std::exchange(other.run_, nullptr)}, run_size_{other.run_size_} {}

KvmVcpu::~KvmVcpu() {
    if (run_ != nullptr) {
        ::munmap(run_, run_size_);
    }
}

Result<void> KvmVcpu::set_cpuid(const CpuidTable& table) {
    KvmList<kvm_cpuid_entry2> list{table};
    if (::ioctl(fd(), kvm_set_cpuid2, list.data()) != 0) {
        return kvm_error("take the CPUID policy");
    }
    return {};
}

Result<std::uint64_t> KvmVcpu::get_msr(std::uint32_t index) {
    KvmList<kvm_msr_entry> list{std::vector<kvm_msr_entry>{{index, 0, 0}}};
    if (::ioctl(fd(), kvm_get_msrs, list.data()) != 1) {
        return kvm_error("read a model-specific register");
    }
    return list.entries().front().data;
}

Result<void> KvmVcpu::set_msrs(const std::vector<std::pair<std::uint32_t, std::uint64_t>>& values) {
    std::vector<kvm_msr_entry> entries;
    entries.reserve(values.size());
    for (const auto& [index, value] : values) {
        entries.push_back({index, 0, value});
    }
    KvmList<kvm_msr_entry> list{entries};
    if (::ioctl(fd(), kvm_set_msrs, list.data()) != static_cast<int>(values.size())) {
        return kvm_error("set a model-specific register");
    }
    return {};
}

std::map<std::string, std::uint64_t> KvmVcpu::statistics() const {
    std::map<std::string, std::uint64_t> result;
    const UniqueFd stats{::ioctl(fd(), KVM_GET_STATS_FD, 0)};
    kvm_stats_header header{};
    if (stats.get() < 0 || ::pread(stats.get(), &header, sizeof(header), 0) != sizeof(header)) {
        return result;
    }
    // The name follows the 16 bytes of the descriptor (the header's flexible array would add to that in C++).
    constexpr std::size_t fixed = offsetof(kvm_stats_desc, bucket_size) + sizeof(kvm_stats_desc::bucket_size);
    const std::size_t one = fixed + header.name_size;
    std::vector<char> descriptors(one * header.num_desc);
    if (::pread(stats.get(), descriptors.data(), descriptors.size(), header.desc_offset) !=
        static_cast<ssize_t>(descriptors.size())) {
        return result;
    }
    for (std::uint32_t i = 0; i < header.num_desc; i++) {
        const auto* descriptor = reinterpret_cast<const kvm_stats_desc*>(descriptors.data() + i * one);
        std::uint64_t value = 0;
        if (descriptor->size == 1 &&
            ::pread(stats.get(), &value, sizeof(value), static_cast<off_t>(header.data_offset) + descriptor->offset) ==
                static_cast<ssize_t>(sizeof(value))) {
            result.emplace(std::string{descriptors.data() + i * one + fixed}, value);
        }
    }
    return result;
}

} // namespace parapet::vmm
