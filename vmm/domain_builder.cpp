// SPDX-License-Identifier: Apache-2.0
//   virt_base                                                                     (PFN 0)
//     kernel segments | initrd (unless the kernel takes it by PFN) | P2M (unless it has an address of its own) |
//     start info | store | console | page tables | boot stack | at least 512 KiB more, up to a multiple of 4 MiB
//   init_p2m:  the P2M, where the kernel asks for one there
// PFNs beyond: the initrd and the P2M where they are not in the initial mapping, then free memory.
#include "vmm/domain_builder.hpp"

#include "pv-abi/elfnote.hpp"
#include "pv-abi/start_info.hpp"
#include "vmm/image/layout.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

namespace parapet::vmm {

namespace {

constexpr std::uint64_t frame_mask = 0x000ffffffffff000ULL;

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

/// Where a block of 512 frames has its own PFNs as its machine frames, it changes places with a neighbour.
void move_blocks_off_their_pfns(std::vector<std::uint64_t>& order) {
    for (std::uint64_t pfn = 0; pfn + 512 <= order.size(); pfn += 512) {
        if (order[pfn] == pfn && order.size() >= 1024) {
            const std::uint64_t other = pfn + 1024 <= order.size() ? pfn + 512 : pfn - 512;
            const auto block = order.begin() + static_cast<std::ptrdiff_t>(pfn);
            std::swap_ranges(block, block + 512, order.begin() + static_cast<std::ptrdiff_t>(other));
        }
    }
}

/// The machine frame of each PFN. Never the identity by accident: blocks of 512 frames in falling order, or at random.
std::vector<std::uint64_t> choose_frames(const MachineLayout& layout, std::uint64_t first, std::uint64_t pages,
                                         std::uint64_t seed) {
    std::vector<std::uint64_t> order(pages);
    if (seed == 0) {
        const std::uint64_t blocks = pages / 512;
        for (std::uint64_t pfn = 0; pfn < pages; pfn++) {
            const std::uint64_t block = pfn / 512;
            order[pfn] = block < blocks ? (blocks - 1 - block) * 512 + pfn % 512 : pfn;
        }
    } else {
        std::iota(order.begin(), order.end(), 0);
        std::shuffle(order.begin(), order.end(), std::mt19937_64{seed});
    }
    for (std::uint64_t& frame : order) {
        frame = layout.mfn_of(first + frame);
    }
    if (seed == 0) {
        move_blocks_off_their_pfns(order);
    }
    return order;
}

/// How many tables a mapping of [start, end) takes at each level but the root.
std::uint64_t tables_for(std::uint64_t start, std::uint64_t end) {
    std::uint64_t total = 0;
    for (unsigned level = 1; level <= 3; level++) {
        const unsigned shift = 12 + 9 * level;
        total += ((end - 1) >> shift) - (start >> shift) + 1;
    }
    return total;
}

class Builder final : public image::PageSink {
public:
    Builder(const GuestRam& ram, NucleusPlace& place, const image::KernelImage& kernel, const image::Initrd& initrd,
            const DomainRequest& request)
        : ram_{ram}, place_{place}, kernel_{kernel}, initrd_{initrd}, request_{request},
          frames_{choose_frames(ram.layout(), place.domain_first, request.pages, request.shuffle)} {}

    std::byte* page(std::uint64_t pfn) override { return pfn < frames_.size() ? ram_.frame(frames_[pfn]) : nullptr; }

    Result<BuiltDomain> build() {
        if (auto laid_out = lay_out(); !laid_out) {
            return laid_out.error();
        }
        if (next_pfn_ > frames_.size()) {
            return Error{"'" + kernel_.path + "' with its initrd needs at least " +
                         std::to_string((next_pfn_ * page_size >> 20) + 1) + " MiB to start and the domain has " +
                         std::to_string(frames_.size() * page_size >> 20) + " MiB; raise --memory"};
        }
        if (auto copied = kernel_.copy_to(*this); !copied) {
            return copied.error();
        }
        if (initrd_.size() != 0) {
            if (auto copied = initrd_.copy_to(*this, initrd_pfn_); !copied) {
                return copied.error();
            }
        }
        write_p2m();
        write_hypercall_page();
        write_page_tables();
        write_start_info();
        write_boot_info();
        return BuiltDomain{mfn(store_pfn_), mfn(console_pfn_)};
    }

private:
    [[nodiscard]] std::uint64_t mfn(std::uint64_t pfn) const { return frames_[pfn]; }
    [[nodiscard]] std::uint64_t va(std::uint64_t pfn) const { return kernel_.virt_base + pfn * page_size; }

    std::uint64_t take(std::uint64_t pages) {
        const std::uint64_t first = next_pfn_;
        next_pfn_ += pages;
        return first;
    }

    [[nodiscard]] Error no_place(const std::string& what) const {
        return {"'" + kernel_.path + "' with its initrd has no place in the address space for " + what +
                "; build or download the kernel again"};
    }

    /// Error: a kernel that lies so that what comes after it would reach beyond a guest's addresses.
    Result<void> lay_out() {
        const std::uint64_t p2m_pages = round_up(frames_.size() * sizeof(std::uint64_t), page_size) / page_size;
        const bool initrd_by_pfn = kernel_.notes.mod_start_pfn;
        next_pfn_ = kernel_.end_pfn();
        if (initrd_.size() != 0 && !initrd_by_pfn) {
            initrd_pfn_ = take(initrd_.pages());
        }
        if (!kernel_.init_p2m) {
            p2m_pfn_ = take(p2m_pages);
        }
        start_info_pfn_ = take(1);
        store_pfn_ = take(1);
        console_pfn_ = take(1);
        // The tables map themselves: grow the count until it covers what it maps.
        tables_pfn_ = next_pfn_;
        std::uint64_t p2m_tables = 0;
        if (kernel_.init_p2m) {
            p2m_tables = tables_for(*kernel_.init_p2m, *kernel_.init_p2m + p2m_pages * page_size);
        }
        nr_tables_ = 1;
        for (;;) {
            const std::uint64_t end = va(tables_pfn_ + nr_tables_ + 1);
            virt_end_ = round_up(end + (512 << 10), 4 << 20);
            if (!image::is_guest_range(kernel_.virt_base, virt_end_)) {
                return no_place("its page tables");
            }
            const std::uint64_t needed = 1 + p2m_tables + tables_for(kernel_.virt_base, virt_end_);
            if (needed <= nr_tables_) {
                break;
            }
            nr_tables_ = needed;
        }
        if (kernel_.init_p2m) {
            const std::uint64_t p2m_end = *kernel_.init_p2m + p2m_pages * page_size;
            const bool overlaps = *kernel_.init_p2m < virt_end_ && p2m_end > kernel_.virt_base;
            if (overlaps || !image::is_guest_range(*kernel_.init_p2m, p2m_end)) {
                return no_place("its INIT_P2M");
            }
        }
        (void)take(nr_tables_);
        stack_pfn_ = take(1);
        next_pfn_ = std::max(next_pfn_, (virt_end_ - kernel_.virt_base) / page_size);
        if (initrd_.size() != 0 && initrd_by_pfn) {
            initrd_pfn_ = take(initrd_.pages());
        }
        if (kernel_.init_p2m) {
            p2m_pfn_ = take(p2m_pages);
        }
        nr_p2m_pages_ = p2m_pages;
        return {};
    }

    void write_p2m() {
        constexpr std::uint64_t per_page = page_size / sizeof(std::uint64_t);
        for (std::uint64_t i = 0; i < nr_p2m_pages_; i++) {
            const std::uint64_t first = i * per_page;
            const std::uint64_t count = std::min(per_page, frames_.size() - first);
            std::memcpy(page(p2m_pfn_ + i), frames_.data() + first, count * sizeof(std::uint64_t));
        }
        std::fill_n(place_.m2p, ram_.layout().end(), ~std::uint64_t{0});
        for (std::uint64_t pfn = 0; pfn < frames_.size(); pfn++) {
            place_.m2p[frames_[pfn]] = pfn;
        }
    }

    /// One 32-byte stub per hypercall: push %rcx; push %r11; mov $n,%eax; syscall; pop %r11; pop %rcx; ret.
    void write_hypercall_page() {
        if (!kernel_.hypercall_page) {
            return;
        }
        std::byte* stubs = page((*kernel_.hypercall_page - kernel_.virt_base) / page_size);
        constexpr std::uint32_t iret = 23;
        for (std::uint32_t number = 0; number < 128; number++) {
            auto* at = reinterpret_cast<std::uint8_t*>(stubs + number * 32);
            std::memset(at, 0xcc, 32);
            const auto n = reinterpret_cast<const std::uint8_t*>(&number);
            if (number == iret) {
                const std::uint8_t code[] = {0x51, 0x41, 0x53, 0x50, 0xb8, n[0], n[1], n[2], n[3], 0x0f, 0x05};
                std::memcpy(at, code, sizeof(code)); // push rcx, r11, rax: the head of struct iret_context
            } else {
                const std::uint8_t code[] = {0x51, 0x41, 0x53, 0xb8, n[0], n[1], n[2],
                                             n[3], 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3};
                std::memcpy(at, code, sizeof(code));
            }
        }
    }

    std::uint64_t* table_at(std::uint64_t* table, std::uint64_t address, unsigned level, std::uint64_t& next_table) {
        std::uint64_t& entry = table[address >> (12 + 9 * (level - 1)) & 511];
        if ((entry & pte::present) == 0) {
            entry = mfn(next_table++) * page_size | pte::table;
        }
        return ram_.frame_as<std::uint64_t>((entry & frame_mask) / page_size);
    }

    void map(std::uint64_t address, std::uint64_t pfn, std::uint64_t count, std::uint64_t& next_table) {
        auto* root = ram_.frame_as<std::uint64_t>(mfn(tables_pfn_));
        for (std::uint64_t i = 0; i < count; i++, address += page_size, pfn++) {
            std::uint64_t* l3 = table_at(root, address, 4, next_table);
            std::uint64_t* l2 = table_at(l3, address, 3, next_table);
            std::uint64_t* l1 = table_at(l2, address, 2, next_table);
            const bool is_table = pfn >= tables_pfn_ && pfn < tables_pfn_ + nr_tables_;
            l1[address >> 12 & 511] = mfn(pfn) * page_size | pte::present | pte::user | pte::accessed | pte::dirty |
                                      (is_table ? 0 : pte::writable);
        }
    }

    void write_page_tables() {
        std::uint64_t next_table = tables_pfn_ + 1;
        map(kernel_.virt_base, 0, (virt_end_ - kernel_.virt_base) / page_size, next_table);
        if (kernel_.init_p2m) {
            map(*kernel_.init_p2m, p2m_pfn_, nr_p2m_pages_, next_table);
        }
    }

    void write_start_info() {
        auto& info = *reinterpret_cast<abi::start_info64*>(page(start_info_pfn_));
        std::strncpy(info.magic, "xen-3.0-x86_64", sizeof(info.magic) - 1);
        info.nr_pages = frames_.size();
        info.shared_info = place_.shared_info_mfn * page_size;
        info.store_mfn = mfn(store_pfn_);
        info.store_evtchn = request_.store_port;
        info.console.domU.mfn = mfn(console_pfn_);
        info.console.domU.evtchn = request_.console_port;
        info.pt_base = va(tables_pfn_);
        info.nr_pt_frames = nr_tables_;
        info.mfn_list = kernel_.init_p2m ? *kernel_.init_p2m : va(p2m_pfn_);
        if (kernel_.init_p2m) {
            info.first_p2m_pfn = p2m_pfn_;
            info.nr_p2m_frames = nr_p2m_pages_;
        }
        if (initrd_.size() != 0) {
            const bool by_pfn = kernel_.notes.mod_start_pfn;
            info.mod_start = by_pfn ? initrd_pfn_ : va(initrd_pfn_);
            info.mod_len = initrd_.size();
            info.flags |= by_pfn ? abi::SIF_MOD_START_PFN : 0;
        }
        const std::size_t length = std::min<std::size_t>(request_.cmdline.size(), abi::MAX_GUEST_CMDLINE - 1);
        std::memcpy(info.cmd_line, request_.cmdline.data(), length);
    }

    void write_boot_info() {
        doorbell::DomainBoot& boot = place_.boot->domain;
        boot.nr_pages = frames_.size();
        boot.max_pages = frames_.size();
        boot.root_mfn = mfn(tables_pfn_);
        boot.rip = kernel_.entry;
        boot.rsp = va(stack_pfn_ + 1);
        boot.rsi = va(start_info_pfn_);
        boot.hypercall_page_va = kernel_.hypercall_page.value_or(0);
        boot.store_port = request_.store_port;
        boot.console_port = request_.console_port;
        boot.store_mfn = mfn(store_pfn_);
        boot.console_mfn = mfn(console_pfn_);
        boot.domid = request_.domid;
    }

    const GuestRam& ram_;
    NucleusPlace& place_;
    const image::KernelImage& kernel_;
    const image::Initrd& initrd_;
    const DomainRequest& request_;
    std::vector<std::uint64_t> frames_;
    std::uint64_t next_pfn_ = 0;
    std::uint64_t initrd_pfn_ = 0, p2m_pfn_ = 0, start_info_pfn_ = 0, store_pfn_ = 0, console_pfn_ = 0, tables_pfn_ = 0,
                  stack_pfn_ = 0;
    std::uint64_t nr_tables_ = 0, nr_p2m_pages_ = 0, virt_end_ = 0;
};

} // namespace

Result<BuiltDomain> build_domain(const GuestRam& ram, NucleusPlace& place, const image::KernelImage& kernel,
                                 const image::Initrd& initrd, const DomainRequest& request) {
    return Builder{ram, place, kernel, initrd, request}.build();
}

} // namespace parapet::vmm
