// SPDX-License-Identifier: Apache-2.0
// Kernel and initrds of a domain's life: by path, and opened.
#pragma once

#include "support/result.hpp"
#include "vmm/image/byte_source.hpp"
#include "vmm/image/initrd.hpp"
#include "vmm/image/kernel_image.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace parapet::vmm {

struct BootSource {
    std::string kernel;
    std::string kernel_label{}; ///< what messages call it; empty: as `kernel`
    std::vector<std::string> initrds{};

    [[nodiscard]] const std::string& label() const { return kernel_label.empty() ? kernel : kernel_label; }
};

class OpenedBoot {
public:
    /// Opens all of it and reads nothing. Errors: the kernel's first.
    static Result<OpenedBoot> open(const BootSource& source);

    /// The kernel, decompressed and checked.
    [[nodiscard]] Result<image::KernelImage> load_kernel(image::Decoding decoding) const;
    [[nodiscard]] const image::Initrd& initrd() const { return initrd_; }

private:
    OpenedBoot(std::string label, std::shared_ptr<const image::ByteSource> file, image::Initrd initrd)
        : label_{std::move(label)}, file_{std::move(file)}, initrd_{std::move(initrd)} {}

    std::string label_;
    std::shared_ptr<const image::ByteSource> file_;
    image::Initrd initrd_;
};

} // namespace parapet::vmm
