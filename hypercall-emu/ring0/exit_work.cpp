// SPDX-License-Identifier: Apache-2.0
#include "hypercall-emu/ring0/exit_work.hpp"

#include "hypercall-emu/core/domain.hpp"
#include "hypercall-emu/core/emulate.hpp"
#include "hypercall-emu/core/msr.hpp"
#include "hypercall-emu/ring0/interrupt.hpp"
#include "hypercall-emu/ring0/privileged.hpp"
#include "pv-abi/boot_features.hpp"
#include "pv-abi/doorbell.hpp"
#include "pv-abi/nucleus_image.hpp"

namespace parapet::nucleus {

extern "C" {
[[gnu::visibility("hidden")]] extern const u8 syscall_stubs[];
}

namespace {

void set_task_switched(bool set) {
    constexpr u64 TS = 8;
    const u64 cr0 = read_cr0();
    write_cr0(set ? cr0 | TS : cr0 & ~TS);
}

/// What the guest kernel decides for ring 3. Of CR4 only these bits: the others are the nucleus's.
void load_features(const Vcpu& vcpu) {
    const u64 cr4 = read_cr4();
    const u64 wanted = (cr4 & ~CR4_LOADED) | (vcpu.cr4 & CR4_LOADED);
    if (wanted != cr4) {
        write_cr4(wanted);
    }
    if ((vcpu.domain->boot->domain.features & doorbell::BOOT_CPUID_FAULTING) != 0) {
        write_msr(msr::MISC_FEATURES_ENABLES, vcpu.cpuid_faults ? msr::CPUID_FAULTS : 0);
    }
}

/// Limit of the LDT descriptor in the nucleus's part of this vCPU's GDT; the base never changes.
void load_guest_ldt(Vcpu& vcpu, u32 entries) {
    if (entries == 0) {
        load_ldt(0);
        return;
    }
    u8* area = reinterpret_cast<u8*>(&vcpu);
    u64* gdt = reinterpret_cast<u64*>(area + doorbell::AREA_GDT);
    u64* slot = gdt + (doorbell::NUCLEUS_LDT & 0xfff) / sizeof(u64);
    const u64 base = reinterpret_cast<u64>(area) + doorbell::AREA_LDT_WINDOW;
    const u64 limit = entries * 8ULL - 1;
    slot[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x82ULL << 40 | (base >> 24 & 0xff) << 56;
    slot[1] = base >> 32;
    load_ldt(doorbell::NUCLEUS_LDT);
}

} // namespace

u64 syscall_stub_va(const Vcpu& vcpu) {
    const u64 number = (reinterpret_cast<u64>(&vcpu) - doorbell::VCPU_AREA_VA) / doorbell::VCPU_AREA_SIZE;
    return reinterpret_cast<u64>(syscall_stubs) + number * doorbell::SYSCALL_STUB_SIZE;
}

void do_rare_exit_work(Vcpu& vcpu, u32 flags) {
    if ((flags & ExitWork::DEBUG_REGS) != 0) {
        write_debug_registers(vcpu.dr);
    }
    if ((flags & ExitWork::SET_TS) != 0) {
        set_task_switched(vcpu.ts != 0);
    }
    if ((flags & ExitWork::LOAD_LDT) != 0) {
        load_guest_ldt(vcpu, vcpu.work.ldt_entries);
    }
    if ((flags & ExitWork::LOAD_GS_SELECTOR) != 0) {
        ring0_load_gs(vcpu.work.gs_selector); // the kernel's GS is active: next_call_waits()
    }
    if ((flags & ExitWork::LOAD_FEATURES) != 0) {
        load_features(vcpu);
    }
    if ((flags & ExitWork::STOP) != 0) {
        for (;;) {
            wait_for_interrupt(); // the vmm does not let us run again
        }
    }
}

void take_interrupt(Vcpu& vcpu, u64 vector) {
    if (note_interrupt(vcpu, vector)) {
        write_msr(msr::X2APIC_EOI, 0);
    }
}

void start_local_apic() {
    write_msr(msr::X2APIC_SPURIOUS, 0x100 | doorbell::SPURIOUS_VECTOR);
    write_msr(msr::X2APIC_LVT_TIMER, msr::LVT_TSC_DEADLINE | doorbell::TIMER_VECTOR);
}

} // namespace parapet::nucleus
