// SPDX-License-Identifier: Apache-2.0
#include "vmm/boot_source.hpp"

#include "vmm/image/kernel_cache.hpp"

#include <utility>

namespace parapet::vmm {

Result<OpenedBoot> OpenedBoot::open(const BootSource& source) {
    auto file = image::load_file(source.kernel, "kernel");
    if (!file) {
        return file.error();
    }
    auto initrd = image::Initrd::open(source.initrds);
    if (!initrd) {
        return initrd.error();
    }
    return OpenedBoot{source.label(), *std::move(file), *std::move(initrd)};
}

Result<image::KernelImage> OpenedBoot::load_kernel(image::Decoding decoding) const {
    const auto cache = image::KernelCache::from_environment();
    image::LoadOptions options;
    options.cache = cache ? &*cache : nullptr;
    options.decoding = decoding;
    return image::load_image(label_, file_, options);
}

} // namespace parapet::vmm
