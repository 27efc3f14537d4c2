// SPDX-License-Identifier: Apache-2.0
#include "vmm/domain_sources.hpp"

#include "vmm/process_memory.hpp"
#include "vmm/sandbox.hpp"

#include <optional>
#include <utility>

namespace parapet::vmm {

Result<DomainSources> DomainSources::open(const DomainConfig& config) {
    auto boot = OpenedBoot::open(config.boot);
    if (!boot) {
        return boot.error();
    }
    std::optional<OpenedBoot> later;
    if (config.boot_after_reboot) {
        auto opened = OpenedBoot::open(*config.boot_after_reboot);
        if (!opened) {
            return opened.error();
        }
        later = *std::move(opened);
    }
    auto kernel = boot->load_kernel(sandbox_wanted() ? image::Decoding::confined : image::Decoding::here);
    if (!kernel) {
        return kernel.error();
    }
    auto system = KvmSystem::open();
    if (!system) {
        return system.error();
    }
    DomainSources sources{*std::move(boot), std::move(later), *std::move(kernel), *std::move(system)};
    auto substrate = probe_substrate(sources.system_);
    if (!substrate) {
        return substrate.error();
    }
    sources.substrate_ = *std::move(substrate);
    auto supported = sources.system_.supported_cpuid();
    if (!supported) {
        return supported.error();
    }
    sources.cpuid_ = make_cpuid_policy(sources.substrate_, *supported);
    auto streams = console::open_console(config.console);
    if (!streams) {
        return streams.error();
    }
    sources.console_ = std::make_shared<console::ConsoleStreams>(*std::move(streams));
    auto io = io::IoThread::create();
    if (!io) {
        return io.error();
    }
    sources.io_ = *std::move(io);
    if (config.devices.open) {
        auto devices = config.devices.open();
        if (!devices) {
            return devices.error();
        }
        sources.devices_ = *std::move(devices);
    }
    (void)own_memory_bytes(); // opens what it reads from
    return sources;
}

Result<image::KernelImage> DomainSources::load_kernel() {
    if (kernel_) {
        return *std::exchange(kernel_, std::nullopt);
    }
    // A later life: this process is confined itself, and can start no other.
    return boot_.load_kernel(image::Decoding::here);
}

void DomainSources::reboot() {
    if (boot_after_reboot_) {
        boot_ = *std::move(boot_after_reboot_);
        boot_after_reboot_.reset();
        kernel_.reset();
    }
}

} // namespace parapet::vmm
