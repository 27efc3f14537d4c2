// SPDX-License-Identifier: Apache-2.0
#include "vmm/tsc.hpp"

#include <ctime>
#include <sys/ioctl.h>

namespace parapet::vmm {

Result<ClockReading> read_clock(const KvmSystem&, KvmVcpu& vcpu) {
    const int khz = ::ioctl(vcpu.fd(), KVM_GET_TSC_KHZ, 0);
    if (khz <= 0) {
        return kvm_error("say how fast the guest's TSC runs");
    }
    constexpr std::uint32_t msr_tsc = 0x10;
    const auto tsc = vcpu.get_msr(msr_tsc);
    if (!tsc) {
        return tsc.error();
    }
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    ClockReading reading;
    reading.tsc_khz = static_cast<std::uint64_t>(khz);
    reading.guest_tsc = *tsc;
    reading.wall_clock_ns =
        static_cast<std::uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<std::uint64_t>(now.tv_nsec);
    return reading;
}

} // namespace parapet::vmm
