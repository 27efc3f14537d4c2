#SPDX - License - Identifier : Apache - 2.0
#Sources of the nucleus core, relative to hypercall - emu / : for the nucleus image and for the hosted library alike.
set(NUCLEUS_CORE_SOURCES core / control_registers.cpp core / cpuid.cpp core / decode.cpp core / emulate.cpp core /
    instruction.cpp core / msr.cpp core / port_io.cpp core / software_interrupt.cpp core / alu.cpp core /
    area.cpp core / store.cpp core / page_table_trap.cpp core / bytes.cpp core / crash.cpp core / descriptor.cpp core /
    dispatch.cpp core / frame_types.cpp core / guest_memory.cpp core / hypercall_table.cpp core / mmu_update.cpp core /
    mmuext_op.cpp core / roots.cpp core / start.cpp core / table_validation.cpp core / tlb.cpp core / traps.cpp core /
    events.cpp core / event_channel_op.cpp core / fifo_events.cpp core / fifo_setup.cpp core / time.cpp core /
    timer.cpp core / sched.cpp core / vcpu_op.cpp core / vcpu_start.cpp core / version.cpp core / console_io.cpp core /
    physdev.cpp core / vm_assist.cpp core / callbacks.cpp core / trap_table.cpp core / segments.cpp core /
    debug_registers.cpp core / free_frames.cpp core / memory_op.cpp core / reservation.cpp core /
    memory_exchange.cpp core / grant_table.cpp core / grant_entries.cpp core / grant_version.cpp core /
    grant_map.cpp core / grant_transfer.cpp core / grant_copy.cpp)
