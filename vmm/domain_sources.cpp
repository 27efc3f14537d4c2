// SPDX-License-Identifier: Apache-2.0
#include "vmm/domain_sources.hpp"

#include "vmm/image/kernel_cache.hpp"
#include "vmm/process_memory.hpp"
#include "vmm/sandbox.hpp"

#include <optional>
#include <utility>

namespace parapet::vmm {

namespace {

Result<image::KernelImage> load(const std::string& path, const std::shared_ptr<const image::ByteSource>& file,
                                image::Decoding decoding) {
    const auto cache = image::KernelCache::from_environment();
    image::LoadOptions options;
    options.cache = cache ? &*cache : nullptr;
    options.decoding = decoding;
    return image::load_image(path, file, options);
}

} // namespace

Result<DomainSources> DomainSources::open(const DomainConfig& config) {
    auto file = image::load_file(config.kernel, "kernel");
    if (!file) {
        return file.error();
    }
    const std::string& label = config.kernel_label.empty() ? config.kernel : config.kernel_label;
    auto kernel = load(label, *file, sandbox_wanted() ? image::Decoding::confined : image::Decoding::here);
    if (!kernel) {
        return kernel.error();
    }
    auto initrd = image::Initrd::open(config.initrds);
    if (!initrd) {
        return initrd.error();
    }
    auto system = KvmSystem::open();
    if (!system) {
        return system.error();
    }
    DomainSources sources{label, *std::move(file), *std::move(kernel), *std::move(initrd), *std::move(system)};
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
    return load(path_, file_, image::Decoding::here);
}

} // namespace parapet::vmm
