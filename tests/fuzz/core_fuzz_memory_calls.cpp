// SPDX-License-Identifier: Apache-2.0
// Hypercalls about memory, as the fuzzer's guest makes them: page tables, pins, roots, the balloon.
#include "tests/fuzz/core_fuzz_values.hpp"

#include "pv-abi/hypercalls.hpp"
#include "pv-abi/memory.hpp"
#include "pv-abi/mmu.hpp"

namespace parapet::nucleus::fuzz {

namespace {

/// Bit of a batch's count by which the core marks a call that goes on: a guest may set it itself.
constexpr u64 CONTINUED = 1ULL << 31;

u64 batch_count(Record& record, u64 usual) {
    const u8 kind = record.byte();
    if (kind < 220)
        return 1 + record.below(usual);
    if (kind < 236)
        return (1 + record.below(usual)) | CONTINUED;
    return kind < 246 ? record.half() : record.word();
}

abi::mmuext_op64 extended_operation(World& world, Values& values, Record& record) {
    constexpr u32 COMMANDS[] = {abi::MMUEXT_PIN_L1_TABLE,
                                abi::MMUEXT_PIN_L2_TABLE,
                                abi::MMUEXT_PIN_L3_TABLE,
                                abi::MMUEXT_PIN_L4_TABLE,
                                abi::MMUEXT_UNPIN_TABLE,
                                abi::MMUEXT_UNPIN_TABLE,
                                abi::MMUEXT_NEW_BASEPTR,
                                abi::MMUEXT_NEW_USER_BASEPTR,
                                abi::MMUEXT_TLB_FLUSH_LOCAL,
                                abi::MMUEXT_INVLPG_LOCAL,
                                abi::MMUEXT_TLB_FLUSH_MULTI,
                                abi::MMUEXT_INVLPG_MULTI,
                                abi::MMUEXT_TLB_FLUSH_ALL,
                                abi::MMUEXT_INVLPG_ALL,
                                abi::MMUEXT_FLUSH_CACHE,
                                abi::MMUEXT_SET_LDT,
                                abi::MMUEXT_SET_LDT,
                                abi::MMUEXT_CLEAR_PAGE,
                                abi::MMUEXT_COPY_PAGE,
                                abi::MMUEXT_PIN_L1_TABLE,
                                abi::MMUEXT_PIN_L2_TABLE,
                                abi::MMUEXT_MARK_SUPER,
                                abi::MMUEXT_FLUSH_CACHE_GLOBAL,
                                99};
    abi::mmuext_op64 op{};
    op.cmd = record.one_of(COMMANDS);
    op.arg1.mfn = record.chance(235) ? values.play_mfn() : values.any_mfn();
    switch (op.cmd) {
    case abi::MMUEXT_SET_LDT:
        op.arg1.linear_addr = world.va(values.play_page());
        op.arg2.nr_ents = record.chance(200) ? record.byte() * 40u : record.word();
        break;
    case abi::MMUEXT_INVLPG_LOCAL:
    case abi::MMUEXT_INVLPG_ALL:
        op.arg1.linear_addr = values.address();
        break;
    case abi::MMUEXT_TLB_FLUSH_MULTI:
    case abi::MMUEXT_INVLPG_MULTI:
        op.arg1.linear_addr = values.address();
        op.arg2.vcpumask = values.address();
        break;
    case abi::MMUEXT_COPY_PAGE:
        op.arg2.src_mfn = values.any_mfn();
        break;
    case abi::MMUEXT_NEW_USER_BASEPTR:
        if (record.chance(50))
            op.arg1.mfn = 0;
        break;
    default:
        break;
    }
    return op;
}

Call exchange_call(Values& values, Record& record) {
    u64 list[8];
    for (u64& number : list)
        number = values.play_mfn();
    abi::xen_memory_exchange64 op{};
    op.in.extent_order = static_cast<u32>(record.below(4));
    op.out.extent_order = static_cast<u32>(record.below(4));
    if (record.chance(12))
        op.in.extent_order = record.byte();
    op.in.nr_extents = record.below(9);
    op.out.nr_extents = (op.in.nr_extents << (op.in.extent_order & 31)) >> (op.out.extent_order & 31);
    if (record.chance(3))
        op.out.nr_extents = op.in.nr_extents = record.quad() >> (record.byte() % 64);
    op.in.extent_start = values.argument(list);
    op.out.extent_start = record.chance(128) ? op.in.extent_start : values.argument(list);
    op.in.domid = op.out.domid = static_cast<abi::domid_t>(values.domid());
    op.out.mem_flags = record.chance(200) ? 0 : record.byte();
    op.nr_exchanged = record.chance(220) ? 0 : record.below(9);
    return {abi::HYPERVISOR_memory_op, {abi::XENMEM_exchange, values.argument(op)}};
}

} // namespace

Call update_va_mapping_call(World& world, Values& values, Record& record) {
    constexpr u64 FLUSHES[] = {0, 0, abi::UVMF_INVLPG, abi::UVMF_TLB_FLUSH, 4, 5, 6, 3};
    const u64 page = record.chance(235) ? values.play_page() : record.half() % NR_PAGES;
    Call call{.number = abi::HYPERVISOR_update_va_mapping};
    call.a[0] = record.chance(250) ? world.va(page) : values.address();
    call.a[1] = record.chance(160) ? world.mfn(page) << PAGE_SHIFT | values.entry_flags() : values.entry();
    call.a[2] = record.one_of(FLUSHES);
    if (record.chance(4))
        call.a[2] |= values.address() & ~7ULL; // a pointer to a mask of vCPUs
    if (record.chance(8)) {
        call.number = abi::HYPERVISOR_update_va_mapping_otherdomain;
        call.a[3] = values.domid();
    }
    return call;
}

Call mmu_update_call(Values& values, Record& record) {
    abi::mmu_update batch[4]{};
    for (abi::mmu_update& update : batch) {
        const u64 table = record.chance(235) ? values.play_mfn() : values.any_mfn();
        const u64 command = record.chance(160) ? 0 : record.byte() & 7;
        update.ptr = (table << PAGE_SHIFT) + values.index() * sizeof(Pte) + command;
        const u8 kind = record.byte();
        if (kind >= 40)
            update.val = kind < 200 ? values.play_mfn() << PAGE_SHIFT | values.entry_flags() : values.entry();
    }
    Call call{.number = abi::HYPERVISOR_mmu_update};
    call.a[0] = values.argument(batch);
    call.a[1] = batch_count(record, std::size(batch));
    call.a[2] = record.chance(128) ? 0 : values.address();
    call.a[3] = record.chance(240) ? u64{abi::DOMID_SELF} : record.word();
    return call;
}

Call mmuext_call(World& world, Values& values, Record& record) {
    abi::mmuext_op64 operations[3];
    for (abi::mmuext_op64& operation : operations)
        operation = extended_operation(world, values, record);
    Call call{.number = abi::HYPERVISOR_mmuext_op};
    call.a[0] = values.argument(operations);
    call.a[1] = batch_count(record, std::size(operations));
    call.a[2] = record.chance(128) ? 0 : values.address();
    call.a[3] = record.chance(245) ? u64{abi::DOMID_SELF} : values.domid();
    return call;
}

Call memory_op_call(Values& values, Record& record) {
    constexpr u32 COMMANDS[] = {abi::XENMEM_increase_reservation, abi::XENMEM_decrease_reservation,
                                abi::XENMEM_populate_physmap,     abi::XENMEM_decrease_reservation,
                                abi::XENMEM_populate_physmap,     abi::XENMEM_decrease_reservation,
                                abi::XENMEM_populate_physmap};
    if (record.chance(80))
        return exchange_call(values, record);
    Call call{.number = abi::HYPERVISOR_memory_op};
    if (record.chance(40)) {
        u64 raw[6];
        for (u64& word : raw)
            word = record.chance(100) ? values.domid() : values.any();
        call.a[0] = record.below(30);
        call.a[1] = values.argument(raw);
        return call;
    }
    u64 list[8];
    for (u64& number : list)
        number = values.play_mfn();
    abi::xen_memory_reservation64 op{};
    op.extent_start = record.chance(250) ? values.argument(list) : 0;
    op.nr_extents = record.chance(245) ? record.below(9) : record.quad() >> (record.byte() % 64);
    op.extent_order = record.chance(200) ? 0 : static_cast<u32>(record.below(11));
    op.domid = static_cast<abi::domid_t>(values.domid());
    op.mem_flags = record.chance(220) ? 0 : record.word();
    call.a[0] = record.one_of(COMMANDS);
    call.a[1] = values.argument(op);
    if (record.chance(16)) // as if some extents were done
        call.a[0] |= (record.chance(200) ? record.below(9) : record.quad()) << abi::MEMOP_EXTENT_SHIFT;
    return call;
}

} // namespace parapet::nucleus::fuzz
