// SPDX-License-Identifier: Apache-2.0
// Where image bytes go: pseudo-physical pages, each at its own place in host memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace parapet::image {

inline constexpr uint64_t page_size = 4096;

/// The domain's pseudo-physical memory as the domain builder sees it. Frames may lie anywhere, so it is asked page by
/// page. For kernels PFN 0 is the page at virt_base.
class PageSink {
public:
    PageSink() = default;
    PageSink(const PageSink&) = delete;
    PageSink& operator=(const PageSink&) = delete;
    virtual ~PageSink() = default;

    /// The page's 4096 bytes, valid until the copy ends; nullptr: the domain has no such page. The page must be zero
    /// when it is first asked for: zero parts of an image are not written.
    virtual std::byte* page(uint64_t pfn) = 0;
};

} // namespace parapet::image
