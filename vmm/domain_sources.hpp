// SPDX-License-Identifier: Apache-2.0
// What a domain needs from the host, opened once: a guest's reboot finds it here, because the sandbox (sandbox.hpp)
// lets this process open no file after the domain's first start.
#pragma once

#include "backends/console/console_streams.hpp"
#include "backends/io/io_thread.hpp"
#include "support/result.hpp"
#include "vmm/boot_source.hpp"
#include "vmm/cpuid_policy.hpp"
#include "vmm/device_manager.hpp"
#include "vmm/domain.hpp"
#include "vmm/kvm.hpp"
#include "vmm/substrate.hpp"

#include <memory>

namespace parapet::vmm {

class DomainSources {
public:
    /// Errors in the order in which a user wants to hear them: kernel, initrd, host.
    static Result<DomainSources> open(const DomainConfig& config);

    /// The kernel, decompressed and checked: for one building of a domain.
    [[nodiscard]] Result<image::KernelImage> load_kernel();

    [[nodiscard]] const image::Initrd& initrd() const { return boot_.initrd(); }

    /// From now on, what the first reboot starts.
    void reboot();

    [[nodiscard]] const KvmSystem& system() const { return system_; }
    [[nodiscard]] const Substrate& substrate() const { return substrate_; }
    [[nodiscard]] const CpuidPolicy& cpuid() const { return cpuid_; }
    [[nodiscard]] const std::shared_ptr<console::ConsoleStreams>& console() const { return console_; }
    [[nodiscard]] io::IoThread& io() const { return *io_; }
    [[nodiscard]] DeviceSources& devices() { return devices_; }

private:
    DomainSources(OpenedBoot boot, std::optional<OpenedBoot> boot_after_reboot, image::KernelImage kernel,
                  KvmSystem system)
        : boot_{std::move(boot)},
          boot_after_reboot_{std::move(boot_after_reboot)}, kernel_{std::move(kernel)}, system_{std::move(system)} {}

    OpenedBoot boot_;
    std::optional<OpenedBoot> boot_after_reboot_;
    std::optional<image::KernelImage> kernel_; ///< loaded to be checked, until it is first asked for
    KvmSystem system_;
    Substrate substrate_;
    CpuidPolicy cpuid_;
    std::shared_ptr<console::ConsoleStreams> console_;
    DeviceSources devices_;
    std::unique_ptr<io::IoThread> io_;
};

} // namespace parapet::vmm
