// SPDX-License-Identifier: Apache-2.0
// Asks /dev/kvm what it can do, by making an empty VM.
#include "tools/parapet/doctor/doctor.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace parapet::cli::doctor {
namespace {

constexpr std::array asked{KVM_CAP_USER_MEMORY,     KVM_CAP_IRQCHIP,         KVM_CAP_TSC_DEADLINE_TIMER,
                           KVM_CAP_IOEVENTFD,       KVM_CAP_IRQFD,           KVM_CAP_SIGNAL_MSI,
                           KVM_CAP_IRQ_ROUTING,     KVM_CAP_IMMEDIATE_EXIT,  KVM_CAP_EXT_CPUID,
                           KVM_CAP_BINARY_STATS_FD, KVM_CAP_SET_GUEST_DEBUG, KVM_CAP_MAX_VCPUS,
                           KVM_CAP_NR_VCPUS,        KVM_CAP_GET_TSC_KHZ};

} // namespace

KvmFacts probe_kvm(const std::string& device) {
    KvmFacts facts;
    const int fd = open(device.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        facts.open_error = errno;
        return facts;
    }
    facts.api_version = ioctl(fd, KVM_GET_API_VERSION, 0);
    const int vm = ioctl(fd, KVM_CREATE_VM, 0);
    facts.create_error = vm < 0 ? errno : 0;
    for (const int capability : asked) {
        // Some answers are the VM's, not the device's.
        facts.capabilities[capability] = ioctl(vm >= 0 ? vm : fd, KVM_CHECK_EXTENSION, capability);
    }
    if (vm >= 0) {
        close(vm);
    }
    close(fd);
    return facts;
}

} // namespace parapet::cli::doctor
