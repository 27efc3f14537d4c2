// SPDX-License-Identifier: Apache-2.0
// grant_table_op as the fuzzer's guest makes it.
#include "tests/fuzz/core_fuzz_values.hpp"

#include "pv-abi/grant_table.hpp"
#include "pv-abi/hypercalls.hpp"

namespace parapet::nucleus::fuzz {

namespace {

u32 reference(Record& record) {
    return static_cast<u32>(record.chance(245) ? record.below(16) : record.word());
}

u16 peer(Record& record) {
    return static_cast<u16>(record.chance(220) ? 7 : record.chance(128) ? 0 : record.half());
}

u64 entry_address(Values& values) {
    return (values.play_mfn() << PAGE_SHIFT) + values.index() * sizeof(Pte);
}

abi::gnttab_map_grant_ref mapping(World& world, Values& values, Record& record) {
    abi::gnttab_map_grant_ref op{};
    op.flags = record.byte() & 0x1fu;
    if (record.chance(128))
        op.flags |= abi::GNTMAP_host_map;
    if (record.chance(30))
        op.flags |= record.word() << 16;
    op.host_addr = (op.flags & abi::GNTMAP_contains_pte) != 0 ? entry_address(values) : world.va(values.play_page());
    if (record.chance(10))
        op.host_addr = values.address();
    op.ref = reference(record);
    op.dom = peer(record);
    return op;
}

abi::gnttab_unmap_grant_ref unmapping(World& world, Values& values, Record& record) {
    abi::gnttab_unmap_grant_ref op{};
    const u8 kind = record.byte();
    op.host_addr = kind < 128 ? world.va(values.play_page()) : kind < 200 ? entry_address(values) : 0;
    op.dev_bus_addr = record.chance(128) ? 0 : values.play_mfn() << PAGE_SHIFT;
    op.handle = static_cast<u32>(record.chance(240) ? record.below(8) : record.word());
    return op;
}

template <typename End>
void copy_end(End& end, Values& values, Record& record, bool by_reference) {
    if (by_reference)
        end.u.ref = reference(record);
    else
        end.u.gmfn = values.any_mfn();
    end.domid = static_cast<abi::domid_t>(values.domid());
    end.offset = record.chance(128) ? static_cast<u16>(record.byte() * 16) : record.half();
}

abi::gnttab_copy64 copy(Values& values, Record& record) {
    abi::gnttab_copy64 op{};
    op.flags = record.byte() & 3;
    op.len = record.chance(128) ? record.byte() : record.half();
    copy_end(op.source, values, record, (op.flags & abi::GNTCOPY_source_gref) != 0);
    copy_end(op.dest, values, record, (op.flags & abi::GNTCOPY_dest_gref) != 0);
    return op;
}

template <typename Make>
u64 array(Values& values, Record& record, u64& count, Make make) {
    decltype(make()) operations[3];
    for (auto& operation : operations)
        operation = make();
    count = record.chance(240) ? 1 + record.below(3) : record.chance(128) ? 300 : record.word();
    return values.argument(operations);
}

} // namespace

Call grant_call(World& world, Values& values, Record& record) {
    Call call{.number = abi::HYPERVISOR_grant_table_op};
    u64& argument = call.a[1];
    u64& count = call.a[2];
    count = 1;
    call.a[0] = record.below(14);
    switch (call.a[0]) {
    case abi::GNTTABOP_map_grant_ref:
        argument = array(values, record, count, [&] { return mapping(world, values, record); });
        break;
    case abi::GNTTABOP_unmap_grant_ref:
        argument = array(values, record, count, [&] { return unmapping(world, values, record); });
        break;
    case abi::GNTTABOP_unmap_and_replace:
        argument = array(values, record, count, [&] {
            abi::gnttab_unmap_and_replace op{};
            op.host_addr = world.va(values.play_page());
            op.new_addr = record.chance(220) ? world.va(values.play_page()) : values.address();
            op.handle = static_cast<u32>(record.below(8));
            return op;
        });
        break;
    case abi::GNTTABOP_transfer:
        argument = array(values, record, count, [&] {
            abi::gnttab_transfer64 op{};
            op.mfn = record.chance(230) ? values.play_mfn() : values.any_mfn();
            op.domid = peer(record);
            op.ref = reference(record);
            return op;
        });
        break;
    case abi::GNTTABOP_copy:
        argument = array(values, record, count, [&] { return copy(values, record); });
        break;
    case abi::GNTTABOP_swap_grant_ref:
        argument = array(values, record, count, [&] {
            return abi::gnttab_swap_grant_ref{reference(record), reference(record), 0};
        });
        break;
    case abi::GNTTABOP_cache_flush:
        argument = array(values, record, count, [&] {
            abi::gnttab_cache_flush op{};
            op.a.dev_bus_addr = values.any_mfn() << PAGE_SHIFT;
            op.offset = record.half() & 0x1fff;
            op.length = record.half() & 0x1fff;
            op.op = record.chance(220) ? record.byte() & 3u : record.word();
            return op;
        });
        break;
    case abi::GNTTABOP_setup_table: {
        abi::gnttab_setup_table64 op{};
        op.dom = static_cast<abi::domid_t>(values.domid());
        op.nr_frames = record.chance(200) ? static_cast<u32>(record.below(5)) : static_cast<u32>(record.below(70));
        op.frame_list = values.address();
        argument = values.argument(op);
        break;
    }
    case abi::GNTTABOP_get_status_frames: {
        abi::gnttab_get_status_frames64 op{};
        op.dom = static_cast<abi::domid_t>(values.domid());
        op.nr_frames = static_cast<u32>(record.below(10));
        op.frame_list = values.address();
        argument = values.argument(op);
        break;
    }
    case abi::GNTTABOP_set_version:
        argument = values.argument(abi::gnttab_set_version{static_cast<u32>(record.below(4))});
        break;
    default: {
        const u64 raw[] = {values.domid(), values.any()};
        argument = values.argument(raw);
        count = record.chance(200) ? 1 : record.word();
    }
    }
    return call;
}

} // namespace parapet::nucleus::fuzz
