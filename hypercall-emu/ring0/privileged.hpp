// SPDX-License-Identifier: Apache-2.0
// One-instruction wrappers of everything privileged. Nothing else in the nucleus's C++ contains assembly.
#pragma once

#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

inline u64 read_cr2() {
    u64 value;
    asm volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}
inline u64 read_cr3() {
    u64 value;
    asm volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}
inline void write_cr3(u64 value) {
    asm volatile("mov %0, %%cr3" ::"r"(value) : "memory");
}
inline u64 read_cr4() {
    u64 value;
    asm volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}
inline void write_cr4(u64 value) {
    asm volatile("mov %0, %%cr4" ::"r"(value) : "memory");
}
inline u64 read_cr0() {
    u64 value;
    asm volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}
inline void write_cr0(u64 value) {
    asm volatile("mov %0, %%cr0" ::"r"(value) : "memory");
}
inline void write_msr(u32 index, u64 value) {
    asm volatile("wrmsr" ::"c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)) : "memory");
}
inline u64 read_msr(u32 index) {
    u32 low;
    u32 high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return static_cast<u64>(high) << 32 | low;
}
inline u64 read_tsc_counter() {
    u32 low;
    u32 high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return static_cast<u64>(high) << 32 | low;
}
inline void invalidate_page(u64 va) {
    asm volatile("invlpg (%0)" ::"r"(va) : "memory");
}
inline void swap_gs() {
    asm volatile("swapgs" ::: "memory");
}
inline void load_ldt(u16 selector) {
    asm volatile("lldt %0" ::"r"(selector) : "memory");
}
inline void out_byte(u16 port, u8 value) {
    asm volatile("outb %0, %1" ::"a"(value), "d"(port) : "memory");
}
// With the window open: what leaves to KVM, with interrupts on. KVM hands over there what has come meanwhile (often the
// answer to the very doorbell), and has not to exit once more when interrupts are on again. It is taken at ring 0 and
// noted in Vcpu::irq_bits.
inline void out_byte_with_window(u16 port, u8 value) {
    asm volatile("sti\n\toutb %0, %1\n\tcli" ::"a"(value), "d"(port) : "memory");
}
inline void write_msr_with_window(u32 index, u64 value) {
    asm volatile("sti\n\twrmsr\n\tcli" ::"c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
}
/// Wait for an interrupt. It is taken at ring 0 and noted in Vcpu::irq_bits.
inline void wait_for_interrupt() {
    asm volatile("sti\n\thlt\n\tcli" ::: "memory");
}
inline u64 read_dr6() {
    u64 value;
    asm volatile("mov %%dr6, %0" : "=r"(value));
    return value;
}
inline void write_debug_registers(const u64* dr) {
    asm volatile("mov %0, %%dr0" ::"r"(dr[0]));
    asm volatile("mov %0, %%dr1" ::"r"(dr[1]));
    asm volatile("mov %0, %%dr2" ::"r"(dr[2]));
    asm volatile("mov %0, %%dr3" ::"r"(dr[3]));
    asm volatile("mov %0, %%dr6" ::"r"(dr[6]));
    asm volatile("mov %0, %%dr7" ::"r"(dr[7]));
}

inline void read_data_selectors(u16 (&selectors)[4]) {
    u32 ds;
    u32 es;
    u32 fs;
    u32 gs;
    asm volatile("mov %%ds, %0\n\tmov %%es, %1\n\tmov %%fs, %2\n\tmov %%gs, %3"
                 : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
    selectors[0] = static_cast<u16>(ds);
    selectors[1] = static_cast<u16>(es);
    selectors[2] = static_cast<u16>(fs);
    selectors[3] = static_cast<u16>(gs);
}

/// Load the user GS selector (the inactive GS while the guest kernel runs). A bad one loads null, as Xen does.
/// ring0/entry.S; the fault of a bad selector is fixed up there.
extern "C" void ring0_load_gs(u32 selector);

namespace msr {
inline constexpr u32 X2APIC_EOI = 0x80b, X2APIC_SPURIOUS = 0x80f, X2APIC_ICR = 0x830, X2APIC_LVT_TIMER = 0x832;
inline constexpr u32 LVT_TSC_DEADLINE = 2 << 17;
} // namespace msr

} // namespace parapet::nucleus
