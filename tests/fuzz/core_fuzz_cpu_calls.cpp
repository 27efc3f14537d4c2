// SPDX-License-Identifier: Apache-2.0
// Hypercalls about the virtual processor, as the fuzzer's guest makes them: descriptors, handlers, events, scheduling,
// vCPUs; and the choice among all calls.
#include "tests/fuzz/core_fuzz_values.hpp"

#include "pv-abi/arch.hpp"
#include "pv-abi/callback.hpp"
#include "pv-abi/event_channel.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/multicall.hpp"
#include "pv-abi/physdev.hpp"
#include "pv-abi/sched.hpp"
#include "pv-abi/trap.hpp"
#include "pv-abi/vcpu.hpp"
#include "pv-abi/vcpu_context.hpp"

namespace parapet::nucleus::fuzz {

namespace {

constexpr u64 FLAT_CODE = 0x00affb000000ffff, FLAT_DATA = 0x00cff3000000ffff, CALL_GATE = 0x0000ec0000080000,
              TSS = 0x00008900000000ff, RING0_CODE = 0x00af9b000000ffff;

/// A context that a vCPU may start with, spoilt here and there.
u64 context(World& world, Values& values, Record& record) {
    abi::vcpu_guest_context64 context{};
    context.flags = record.chance(240) ? u64{abi::VGCF_in_kernel} : record.byte();
    context.user_regs.rip = world.va(CODE);
    context.user_regs.rsp = world.va(STACK, PAGE_SIZE);
    context.user_regs.cs = abi::x64::FLAT_KERNEL_CS;
    context.user_regs.ss = abi::x64::FLAT_KERNEL_SS;
    context.user_regs.rflags = record.chance(128) ? 0x202 : record.quad();
    for (unsigned vector = 0; vector < 256; vector++)
        context.trap_ctxt[vector] = {static_cast<u8>(vector), 3, abi::x64::FLAT_KERNEL_CS, world.va(HANDLERS, vector)};
    context.event_callback_eip = context.failsafe_callback_eip = context.syscall_callback_eip = world.va(HANDLERS);
    context.kernel_sp = world.va(KERNEL_STACK, PAGE_SIZE);
    context.ctrlreg[3] = world.vcpu().kernel_root.address();
    context.ctrlreg[1] = record.chance(128) ? 0 : world.mfn(USER_L4) << PAGE_SHIFT;
    context.gdt_ents = record.chance(128) ? 0 : 512;
    context.gdt_frames[0] = world.mfn(PLAY + PLAY_READ_ONLY - 1);
    if (record.chance(60)) {
        u64* const spoilt[] = {&context.user_regs.rip, &context.user_regs.rsp, &context.kernel_sp,
                               &context.ctrlreg[3],    &context.ctrlreg[1],    &context.gdt_ents,
                               &context.ldt_ents,      &context.ldt_base,      &context.gdt_frames[0],
                               &context.fs_base,       &context.gs_base_user,  &context.event_callback_eip};
        *record.one_of(spoilt) = values.any();
    }
    static_assert(sizeof context < 2 * PAGE_SIZE);
    const auto* bytes = reinterpret_cast<const u8*>(&context);
    world.put(world.mfn(ARGS + 2), 0, bytes, PAGE_SIZE);
    world.put(world.mfn(ARGS + 3), 0, bytes + PAGE_SIZE, sizeof context - PAGE_SIZE);
    return world.va(ARGS + 2);
}

Call multicall(World& world, Values& values, Record& record) {
    abi::multicall_entry64 entries[5]{};
    for (abi::multicall_entry64& entry : entries) {
        const Call call = any_call(world, values, record);
        entry.op = call.number;
        for (unsigned i = 0; i < 6; i++)
            entry.args[i] = call.a[i];
    }
    // Past the arguments of the calls themselves, which begin at ARGS.
    const u64 offset = PAGE_SIZE - sizeof entries;
    world.put(world.mfn(ARGS + ARGS_PAGES - 1), offset, entries, sizeof entries);
    const u64 at = record.chance(252) ? world.va(ARGS + ARGS_PAGES - 1, offset) : values.address();
    const u64 count = record.chance(250) ? 1 + record.below(5) : record.word();
    return {abi::HYPERVISOR_multicall, {at, count}};
}

} // namespace

Call descriptor_call(World& world, Values& values, Record& record) {
    if (record.chance(128)) {
        u64 frames[14];
        for (u64& frame : frames)
            frame = record.chance(240) ? values.play_mfn() : values.any_mfn();
        return {abi::HYPERVISOR_set_gdt,
                {values.argument(frames), record.chance(230) ? record.below(6) * 300 : record.half()}};
    }
    constexpr u64 DESCRIPTORS[] = {FLAT_CODE, FLAT_DATA, 0, CALL_GATE, TSS, RING0_CODE};
    const u64 frame = record.chance(90) ? world.mfn(PLAY + PLAY_READ_ONLY - 1) : values.any_mfn();
    const u64 offset = values.index() * 8 + (record.chance(240) ? 0 : record.byte() & 7);
    return {abi::HYPERVISOR_update_descriptor,
            {(frame << PAGE_SHIFT) + offset, record.chance(200) ? record.one_of(DESCRIPTORS) : record.quad()}};
}

Call vcpu_call(World& world, Values& values, Record& record) {
    Call call{.number = abi::HYPERVISOR_vcpu_op};
    call.a[0] = record.below(15);
    call.a[1] = record.chance(180) ? world.vcpu().id : record.chance(230) ? record.below(3) : record.word();
    u64 raw[4];
    for (u64& word : raw)
        word = values.any();
    switch (call.a[0]) {
    case abi::VCPUOP_initialise:
        call.a[1] = record.chance(230) ? 1 : call.a[1];
        call.a[2] = record.chance(240) ? context(world, values, record) : values.address();
        return call;
    case abi::VCPUOP_up:
        call.a[1] = record.chance(200) ? 1 : call.a[1];
        break;
    case abi::VCPUOP_down: // the last one ends the domain
        call.a[1] = record.chance(230) ? 1 : call.a[1];
        break;
    case abi::VCPUOP_register_vcpu_info:
        raw[0] = record.chance(200) ? values.play_mfn() : values.any_mfn();
        raw[1] = record.chance(200) ? record.below(64) * 64 : record.word();
        break;
    case abi::VCPUOP_register_runstate_memory_area:
    case abi::VCPUOP_register_vcpu_time_memory_area:
        raw[0] = values.address();
        break;
    case abi::VCPUOP_set_periodic_timer:
        raw[0] = record.chance(200) ? 1'000'000 * (1 + record.below(100)) : record.quad();
        break;
    case abi::VCPUOP_send_nmi:
        return call;
    default:
        break;
    }
    call.a[2] = values.argument(raw);
    return call;
}

Call event_call(Values& values, Record& record) {
    const u64 command = record.below(15);
    u32 raw[8];
    for (u32& word : raw)
        word = static_cast<u32>(values.port());
    const bool names_domains = command == abi::EVTCHNOP_bind_interdomain || command == abi::EVTCHNOP_status ||
                               command == abi::EVTCHNOP_alloc_unbound || command == abi::EVTCHNOP_reset;
    if (names_domains && record.chance(235))
        raw[0] = abi::DOMID_SELF | (record.chance(160) ? 7u << 16 : 0);
    if (command == abi::EVTCHNOP_init_control || command == abi::EVTCHNOP_expand_array) {
        const u64 frame = record.chance(200) ? values.play_mfn() : values.any_mfn();
        raw[0] = static_cast<u32>(frame);
        raw[1] = static_cast<u32>(frame >> 32);
        raw[2] = record.chance(200) ? static_cast<u32>(record.below(32)) * 8 : record.word();
        raw[3] = static_cast<u32>(record.below(3));
    }
    if (!record.chance(20) || command > abi::EVTCHNOP_unmask)
        return {abi::HYPERVISOR_event_channel_op, {command, values.argument(raw)}};
    u32 old[9]{static_cast<u32>(command)};
    std::memcpy(old + 1, raw, sizeof raw);
    return {abi::HYPERVISOR_event_channel_op_compat, {values.argument(old)}};
}

Call physdev_call(Values& values, Record& record) {
    const u64 command = record.below(32);
    u64 raw[4];
    for (u64& word : raw)
        word = values.any();
    if (command == abi::PHYSDEVOP_set_iopl)
        raw[0] = record.below(5);
    else if (command == abi::PHYSDEVOP_pirq_eoi_gmfn_v1 || command == abi::PHYSDEVOP_pirq_eoi_gmfn_v2)
        raw[0] = values.any_mfn();
    else if (command == abi::PHYSDEVOP_set_iobitmap)
        raw[0] = values.address(), raw[1] = record.chance(200) ? 65536 : record.word();
    if (!record.chance(30))
        return {abi::HYPERVISOR_physdev_op, {command, values.argument(raw)}};
    u64 old[5]{command};
    std::memcpy(old + 1, raw, sizeof raw);
    return {abi::HYPERVISOR_physdev_op_compat, {values.argument(old)}};
}

Call callback_call(World& world, Values& values, Record& record) {
    const u64 handler = record.chance(220) ? world.va(HANDLERS, record.byte()) : values.address();
    if (record.chance(40)) {
        const u64 nmi[] = {handler};
        return {abi::HYPERVISOR_nmi_op, {record.below(3), values.argument(nmi)}};
    }
    if (record.chance(30))
        return {abi::HYPERVISOR_set_callbacks, {handler, values.address(), values.address()}};
    const u64 raw[] = {record.below(9) | (record.chance(128) ? 1u << 16 : 0), handler, 0};
    return {abi::HYPERVISOR_callback_op, {record.below(3), values.argument(raw)}};
}

Call sched_call(World& world, Values& values, Record& record) {
    u64 command = record.below(8);
    if (command == abi::SCHEDOP_shutdown && !record.chance(16)) // which ends the run
        command = abi::SCHEDOP_poll;
    u64 raw[4]{world.va(STACK, record.half() & 0xff8), record.below(4), record.quad() >> (record.byte() % 64), 0};
    if (command == abi::SCHEDOP_watchdog)
        raw[0] = record.below(4) | static_cast<u64>(record.half()) << 32;
    const u64 number = record.chance(230) ? abi::HYPERVISOR_sched_op : abi::HYPERVISOR_sched_op_compat;
    return {number, {command, values.argument(raw)}};
}

Call trap_table_call(World& world, Values& values, Record& record) {
    abi::trap_info64 traps[4]{};
    const u64 count = record.below(4);
    for (u64 i = 0; i < count; i++)
        traps[i] = {record.byte(), record.byte(), record.half(),
                    record.chance(220) ? world.va(HANDLERS, record.byte()) : values.address()};
    return {abi::HYPERVISOR_set_trap_table, {record.chance(250) ? values.argument(traps) : 0}};
}

Call small_call(World& world, Values& values, Record& record) {
    constexpr u64 NUMBERS[] = {
        abi::HYPERVISOR_vm_assist,    abi::HYPERVISOR_fpu_taskswitch,   abi::HYPERVISOR_set_timer_op,
        abi::HYPERVISOR_xen_version,  abi::HYPERVISOR_console_io,       abi::HYPERVISOR_get_debugreg,
        abi::HYPERVISOR_set_debugreg, abi::HYPERVISOR_set_segment_base, abi::HYPERVISOR_stack_switch};
    Call call{.number = record.one_of(NUMBERS)};
    for (u64& argument : call.a)
        argument = values.any();
    if (record.chance(200))
        call.a[0] = record.below(13);
    if (call.number == abi::HYPERVISOR_stack_switch)
        call.a[1] = record.chance(150) ? world.va(KERNEL_STACK, record.half() & 0xfff) : values.address();
    if (call.number == abi::HYPERVISOR_console_io && record.chance(200))
        call.a[0] = 0, call.a[1] = record.half() & 0x1fff, call.a[2] = values.address();
    return call;
}

Call any_call(World& world, Values& values, Record& record) {
    switch (record.byte() % 32) {
    case 0:
    case 1:
    case 2:
        return update_va_mapping_call(world, values, record);
    case 3:
    case 4:
    case 5:
    case 6:
        return mmu_update_call(values, record);
    case 7:
    case 8:
    case 9:
    case 10:
        return mmuext_call(world, values, record);
    case 11:
    case 12:
    case 13:
        return grant_call(world, values, record);
    case 14:
    case 15:
        return memory_op_call(values, record);
    case 16:
    case 17:
        return descriptor_call(world, values, record);
    case 18:
    case 19:
        return vcpu_call(world, values, record);
    case 20:
    case 21:
    case 22:
        return event_call(values, record);
    case 23:
        return physdev_call(values, record);
    case 24:
        return callback_call(world, values, record);
    case 25:
        return sched_call(world, values, record);
    case 26:
        return trap_table_call(world, values, record);
    case 27:
    case 28:
        return small_call(world, values, record);
    case 29:
    case 30:
        return multicall(world, values, record);
    default: {
        Call call{.number = record.chance(200) ? record.below(56) : record.quad()};
        for (u64& argument : call.a)
            argument = values.any();
        return call;
    }
    }
}

} // namespace parapet::nucleus::fuzz
