// SPDX-License-Identifier: Apache-2.0
// The memory invariants of a FakeVm; see memory_invariants.hpp.
#include "tests/unit/nucleus/memory_invariants.hpp"

#include <array>
#include <cstdarg>
#include <cstdio>

#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/descriptor.hpp"
#include "hypercall-emu/core/io_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "pv-abi/grant_table.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr unsigned NR_TYPES = 8;

/// What one frame should hold.
struct Count {
    u64 references = 0;
    std::array<u64, NR_TYPES> types{};
    [[nodiscard]] u64 all_types() const {
        u64 sum = 0;
        for (const u64 count : types)
            sum += count;
        return sum;
    }
};

bool is_table_type(FrameType type) {
    return type >= FrameType::l1 && type <= FrameType::l4;
}

bool is_hole(unsigned level, unsigned index) {
    return level == 4 && index >= doorbell::HOLE_FIRST_SLOT && index <= doorbell::HOLE_LAST_SLOT;
}

class Audit {
public:
    explicit Audit(FakeVm& vm) : vm_{vm}, domain_{vm.domain()}, counts_(vm.nr_frames()), walked_(vm.nr_frames()) {}

    std::vector<std::string> run() {
        count_frames();
        for (u32 i = 0; i < domain_.nr_vcpus; i++)
            count_vcpu(*domain_.vcpus[i]);
        for (const u64 ring : {domain_.boot->domain.store_mfn, domain_.boot->domain.console_mfn}) {
            if (ring != 0)
                hold(ring, FrameType::writable);
        }
        for (u32 i = 0; i < domain_.grants.mappings_end; i++) {
            const GrantTable::Mapping& mapping = domain_.grants.mappings[i];
            if ((mapping.flags & abi::GNTMAP_device_map) != 0)
                hold(mapping.frame,
                     (mapping.flags & abi::GNTMAP_readonly) != 0 ? FrameType::none : FrameType::writable);
        }
        for (u32 i = 0; i < domain_.fifo.nr_pages; i++)
            hold(domain_.fifo.pages[i], FrameType::writable);
        check_free_list();
        for (u64 number = 0; number < counts_.size(); number++)
            compare(number);
        return std::move(found_);
    }

private:
    __attribute__((format(printf, 2, 3))) void report(const char* format, ...) {
        if (found_.size() > 16)
            return;
        char line[256];
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        found_.emplace_back(line);
    }

    void hold(u64 number, FrameType type) {
        if (number >= counts_.size()) {
            report("frame %#lx is held and does not exist", number);
            return;
        }
        counts_[number].references++;
        if (type != FrameType::none)
            counts_[number].types[static_cast<unsigned>(type)]++;
    }

    void count_frames() {
        for (u64 number = 0; number < counts_.size(); number++) {
            const Frame& frame = domain_.frames[Mfn{number}];
            owned_ += frame.owner() == FrameOwner::domain ? 1 : 0;
            free_ += frame.owner() == FrameOwner::free ? 1 : 0;
            if (frame.owner() != FrameOwner::domain)
                continue;
            if (number < domain_.boot->domain_first_mfn)
                report("frame %#lx is the nucleus's and became the domain's", number);
            if (frame.is(Frame::VALIDATED) && !is_table_type(frame.type()))
                report("frame %#lx is validated and no table: %#lx", number, frame.word);
            else if (frame.is(Frame::VALIDATED))
                count_entries(number, static_cast<unsigned>(frame.type()) - static_cast<unsigned>(FrameType::l1) + 1);
            if (frame.is(Frame::PINNED))
                hold(number, frame.type());
        }
    }

    void count_entries(u64 table, unsigned level) {
        for (unsigned index = 0; index < ENTRIES_PER_TABLE; index++) {
            const Pte entry = vm_.machine.table({table})[index];
            if (is_hole(level, index)) {
                if (entry.raw != domain_.hole_template[index - doorbell::HOLE_FIRST_SLOT])
                    report("L4 %#lx has %#lx in the hole, slot %u", table, entry.raw, index);
            } else if (entry.present() && level == 1 && is_io_memory(domain_, entry.mfn())) {
                io_mappings_++;
                if ((entry.raw & Pte::USER) != 0)
                    report("L1 %#lx slot %u: I/O memory %#lx in reach of ring 3", table, index, entry.raw);
            } else if (entry.present() && level > 1 && entry.mfn().number == table) {
                if (!domain_.linear_tables || entry.writable())
                    report("table %#lx names itself by %#lx, slot %u", table, entry.raw, index);
            } else if (entry.present()) {
                const FrameType last = entry.writable() ? FrameType::writable : FrameType::none;
                hold(entry.mfn().number, level > 1 ? table_type(level - 1) : last);
            }
        }
    }

    /// Whatever the processor can reach from a root is validated, and says nothing forbidden.
    void walk_table(u64 table, unsigned level) {
        const Frame& frame = domain_.frames[Mfn{table}];
        if (frame.owner() != FrameOwner::domain || frame.type() != table_type(level) || !frame.is(Frame::VALIDATED)) {
            report("frame %#lx (%#lx) is walked as an L%u", table, frame.word, level);
            return;
        }
        if (walked_[table])
            return;
        walked_[table] = true;
        for (unsigned index = 0; index < ENTRIES_PER_TABLE; index++) {
            const Pte entry = vm_.machine.table({table})[index];
            if (!entry.present() || is_hole(level, index))
                continue;
            if (level == 1 && is_io_memory(domain_, entry.mfn()))
                continue;
            const u64 forbidden = level > 1 ? Pte::PSE | Pte::GLOBAL : Pte::GLOBAL;
            if ((entry.raw & forbidden) != 0 || (entry.raw & Pte::USER) == 0)
                report("L%u %#lx slot %u: forbidden entry %#lx", level, table, index, entry.raw);
            if (!domain_.frames.guest_may_map(entry.mfn()))
                report("L%u %#lx slot %u: %#lx is not the domain's to map", level, table, index, entry.raw);
            else if (level > 1 && entry.mfn().number != table) // count_entries() judges those that name themselves
                walk_table(entry.mfn().number, level - 1);
        }
    }

    void count_vcpu(Vcpu& vcpu) {
        for (const Mfn root : {vcpu.kernel_root, vcpu.user_root}) {
            if (root == NO_MFN)
                continue;
            hold(root.number, FrameType::l4);
            walk_table(root.number, 4);
        }
        if (vcpu.kernel_root != NO_MFN && vcpu.kernel_cr3 != vcpu.kernel_root.address())
            report("vCPU %u: CR3 %#lx is not the kernel root", vcpu.id, vcpu.kernel_cr3);
        if (vcpu.user_root != NO_MFN && vcpu.user_cr3 != vcpu.user_root.address())
            report("vCPU %u: CR3 %#lx is not the user root", vcpu.id, vcpu.user_cr3);
        if (vcpu.info_mfn != NO_MFN.number)
            hold(vcpu.info_mfn, FrameType::writable);
        if (vcpu.fifo_control != 0)
            hold(vcpu.fifo_control >> PAGE_SHIFT, FrameType::writable);
        for (unsigned page = 0; page < GDT_GUEST_PAGES; page++)
            count_window(*area_slot(vcpu, doorbell::AREA_GDT_WINDOW + page * PAGE_SIZE));
        for (unsigned page = 0; page < LDT_PAGES; page++)
            count_window(*area_slot(vcpu, doorbell::AREA_LDT_WINDOW + page * PAGE_SIZE));
    }

    /// A page of a descriptor table: of the guest's, and harmless in every word.
    void count_window(Pte entry) {
        if (!entry.present() || entry.mfn().number == domain_.boot->zero_mfn)
            return;
        hold(entry.mfn().number, FrameType::descriptor);
        if (entry.mfn().number >= counts_.size())
            return;
        const auto* words = reinterpret_cast<const u64*>(vm_.frame(entry.mfn()));
        for (unsigned i = 0; i < PAGE_SIZE / sizeof(u64); i++) {
            const bool present = (words[i] >> 47 & 1) != 0;
            const bool system = (words[i] >> 44 & 1) == 0;
            if (present && (system || (words[i] >> 45 & 3) != 3))
                report("descriptor page %#lx has %#lx", entry.mfn().number, words[i]);
        }
    }

    void check_free_list() {
        if (io_mappings_ != domain_.io_mappings)
            report("%lu entries have I/O memory, not %lu", io_mappings_, domain_.io_mappings);
        if (owned_ != domain_.nr_pages)
            report("%lu frames are the domain's, not %lu", owned_, domain_.nr_pages);
        if (domain_.nr_pages > domain_.max_pages)
            report("%lu pages of at most %lu", domain_.nr_pages, domain_.max_pages);
        if (free_ != domain_.nr_free)
            report("%lu frames are free, not %lu", free_, domain_.nr_free);
        u64 listed = 0;
        for (u64 number = domain_.free_head; number != ~0ULL && listed <= free_; listed++) {
            if (number >= counts_.size() || domain_.frames[Mfn{number}].owner() != FrameOwner::free) {
                report("frame %#lx is listed and not free", number);
                return;
            }
            const u64 link = domain_.frames[Mfn{number}].word & Frame::FREE_LINK_MASK;
            number = link == Frame::FREE_END ? ~0ULL : link;
        }
        if (listed != free_)
            report("%lu frames are listed, %lu free", listed, free_);
    }

    /// PHYSDEVOP_pirq_eoi_gmfn keeps one frame, writable, and remembers only that it did.
    bool is_eoi_page(const Frame& frame, const Count& count) {
        const bool one_more = domain_.has_pirq_eoi_page && !eoi_page_found_ && frame.type() == FrameType::writable &&
                              frame.references() == count.references + 1 && frame.type_count() == count.all_types() + 1;
        eoi_page_found_ = eoi_page_found_ || one_more;
        return one_more;
    }

    void compare(u64 number) {
        const Frame& frame = domain_.frames[Mfn{number}];
        const Count& count = counts_[number];
        if (vm_.host_use_array()[number] != 0 && !frame.host_may_write())
            report("frame %#lx (%#lx) is in use by the host", number, frame.word);
        if (frame.owner() == FrameOwner::free || frame.owner() == FrameOwner::nobody) {
            if (count.references != 0)
                report("frame %#lx (%#lx) is mapped and not the domain's", number, frame.word);
            return;
        }
        if (is_eoi_page(frame, count))
            return;
        for (unsigned type = 1; type < NR_TYPES; type++) {
            if (count.types[type] != 0 && static_cast<unsigned>(frame.type()) != type)
                report("frame %#lx (%#lx) is needed as type %u", number, frame.word, type);
        }
        if (frame.references() != count.references)
            report("frame %#lx: %lu references, not %lu", number, frame.references(), count.references);
        if (frame.type_count() != count.all_types())
            report("frame %#lx: type count %lu, not %lu", number, frame.type_count(), count.all_types());
        if (frame.type_count() == 0 && frame.type() != FrameType::none)
            report("frame %#lx (%#lx) has a type that nobody holds", number, frame.word);
        if (frame.is(Frame::LOCKED))
            report("frame %#lx (%#lx) is left locked", number, frame.word);
        if (frame.is(Frame::VALIDATED) != (frame.type_count() != 0 && is_table_type(frame.type())))
            report("frame %#lx (%#lx): validated without type, or the reverse", number, frame.word);
    }

    FakeVm& vm_;
    Domain& domain_;
    std::vector<Count> counts_;
    std::vector<bool> walked_;
    u64 owned_ = 0, free_ = 0, io_mappings_ = 0;
    bool eoi_page_found_ = false;
    std::vector<std::string> found_;
};

} // namespace

std::vector<std::string> memory_violations(FakeVm& vm) {
    return Audit{vm}.run();
}

} // namespace parapet::nucleus::test
