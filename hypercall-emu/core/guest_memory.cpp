// SPDX-License-Identifier: Apache-2.0
// Checked access to guest memory; see guest_memory.hpp.
#include "hypercall-emu/core/guest_memory.hpp"

namespace parapet::nucleus {

Walk walk(const Domain& domain, Mfn root, GuestVa va) {
    Walk result{};
    if (!is_guest_va(va.address) || !domain.frames.contains(root)) {
        return result;
    }
    result.writable = true;
    Mfn table = root;
    for (unsigned level = 4;; level--) {
        Pte* slot = domain.machine->table(table) + table_index(va.address, level);
        const Pte entry{__atomic_load_n(&slot->raw, __ATOMIC_RELAXED)};
        result.entry[4 - level] = entry;
        result.levels = 5 - level;
        if (level == 1) {
            result.table = table;
            result.slot = slot;
        }
        // Validation lets no large page and no foreign frame into a table, but I/O memory (io_memory.hpp) into an L1.
        if (!entry.present() || !domain.is_ram(entry.mfn())) {
            return result;
        }
        result.writable = result.writable && entry.writable();
        if (level == 1) {
            result.mapped = true;
            return result;
        }
        if (entry.mfn() == table) {
            return result; // a linear page table: processors follow it, the nucleus does not
        }
        table = entry.mfn();
    }
}

L1Slot find_l1_slot(const Domain& domain, Mfn root, GuestVa va, u64 needed) {
    if (!is_guest_va(va.address)) {
        return {};
    }
    if (domain.linear_tables) [[unlikely]] {
        const Walk found = walk(domain, root, va);
        const auto lacks = [&](Pte entry) { return (entry.raw & needed) != needed; };
        return found.levels < 4 || lacks(found.entry[0]) || lacks(found.entry[1]) || lacks(found.entry[2])
                   ? L1Slot{}
                   : L1Slot{found.slot, found.table};
    }
    Mfn table = root;
    for (unsigned level = 4; domain.frames.contains(table); level--) {
        Pte* const slot = domain.machine->table(table) + table_index(va.address, level);
        if (level == 1) {
            return {slot, table};
        }
        const Pte entry{__atomic_load_n(&slot->raw, __ATOMIC_RELAXED)};
        if ((entry.raw & needed) != needed) {
            break;
        }
        table = entry.mfn();
    }
    return {};
}

namespace {

/// The page behind `va` for an access, with accessed (and dirty) set as the processor would. nullptr: -EFAULT. What
/// ring 3 may not use is I/O memory (io_memory.hpp), or none of the guest's.
u8* page_for_access(Domain& domain, Mfn root, GuestVa va, bool write) {
    const u64 needed = Pte::PRESENT | Pte::USER | (write ? Pte::RW : 0);
    Pte* const slot = find_l1_slot(domain, root, va, needed).slot;
    if (slot == nullptr) {
        return nullptr;
    }
    const Pte entry{__atomic_load_n(&slot->raw, __ATOMIC_RELAXED)};
    if ((entry.raw & needed) != needed || !domain.frames.contains(entry.mfn())) {
        return nullptr;
    }
    const u64 wanted = Pte::ACCESSED | (write ? Pte::DIRTY : 0);
    if ((entry.raw & wanted) != wanted) {
        (void)domain.machine->replace_pte(slot, entry, Pte{entry.raw | wanted});
    }
    return static_cast<u8*>(domain.machine->frame(entry.mfn()));
}

/// Call `copy(page bytes, offset done, length)` for each page of [va, va + bytes).
template <typename Copy>
bool for_each_page(Domain& domain, Mfn root, GuestVa va, u64 bytes, bool write, Copy copy) {
    u64 done = 0;
    while (done < bytes) {
        const u64 at = va.address + done;
        const u64 offset = at & (PAGE_SIZE - 1);
        const u64 length = min_of(PAGE_SIZE - offset, bytes - done);
        u8* page = page_for_access(domain, root, GuestVa{at}, write);
        if (page == nullptr) {
            return false;
        }
        copy(page + offset, done, length);
        done += length;
    }
    return true;
}

Mfn running_root(const Vcpu& vcpu) {
    return vcpu.kernel_mode ? vcpu.kernel_root : vcpu.user_root;
}

bool copy_from(Domain& domain, Mfn root, void* destination, GuestVa source, u64 bytes) {
    u8* to = static_cast<u8*>(destination);
    return for_each_page(domain, root, source, bytes, false,
                         [to](const u8* page, u64 done, u64 length) { copy_bytes(to + done, page, length); });
}

} // namespace

bool copy_from_guest(Vcpu& vcpu, void* destination, GuestVa source, u64 bytes) {
    return copy_from(*vcpu.domain, running_root(vcpu), destination, source, bytes);
}

bool copy_from_guest_kernel(Vcpu& vcpu, void* destination, GuestVa source, u64 bytes) {
    return copy_from(*vcpu.domain, vcpu.kernel_root, destination, source, bytes);
}

bool copy_to_guest(Vcpu& vcpu, GuestVa destination, const void* source, u64 bytes) {
    const u8* from = static_cast<const u8*>(source);
    return for_each_page(*vcpu.domain, running_root(vcpu), destination, bytes, true,
                         [from](u8* page, u64 done, u64 length) { copy_bytes(page, from + done, length); });
}

} // namespace parapet::nucleus
