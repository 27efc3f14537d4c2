// SPDX-License-Identifier: Apache-2.0
#include "vmm/vcpu_setup.hpp"

#include <sys/ioctl.h>

namespace parapet::vmm {

namespace {

using namespace doorbell;

constexpr std::uint64_t cr0_value = 0x80050033; // PG AM WP NE ET MP PE
constexpr std::uint64_t cr4_pae = 1 << 5, cr4_osfxsr = 1 << 9, cr4_osxmmexcpt = 1 << 10, cr4_osxsave = 1 << 18,
                        cr4_smep = 1 << 20;
constexpr std::uint64_t efer_long_mode = 0xd00, efer_sce = 1; // NXE LMA LME
constexpr std::uint32_t msr_star = 0xc0000081, msr_lstar = 0xc0000082, msr_cstar = 0xc0000083, msr_sfmask = 0xc0000084;
constexpr std::uint32_t msr_sysenter_cs = 0x174, msr_sysenter_esp = 0x175, msr_sysenter_eip = 0x176;
constexpr std::uint32_t msr_kvm_pv_eoi = 0x4b564d04; // Linux, Documentation/virt/kvm/x86/msr.rst
constexpr std::uint32_t msr_pat = 0x277;
/// Every cache attribute of a page-table entry means write-back. The guest may set attributes, but memory that it sees
/// uncached could differ from what the nucleus validates and the processor walks.
constexpr std::uint64_t pat_all_write_back = 0x0606060606060606;
constexpr std::uint64_t sfmask_value = 0x47700; // AC NT IOPL DF IF TF

kvm_segment segment(std::uint16_t selector, std::uint8_t type, std::uint8_t dpl, bool code) {
    kvm_segment result{};
    result.limit = 0xffffffff;
    result.selector = selector;
    result.type = type;
    result.present = 1;
    result.dpl = dpl;
    result.db = code ? 0 : 1;
    result.s = 1;
    result.l = code ? 1 : 0;
    result.g = 1;
    return result;
}

/// Does SYSENTER work in long mode? Not on AMD's processors, for which KVM keeps half of its registers; QEMU's emulator
/// of them would enter by these halves, but not where the selector is left at 0.
bool has_sysenter(const CpuidPolicy& policy) {
    constexpr std::uint32_t amd = 0x68747541, hygon = 0x6f677948; // "Auth", "Hygo"
    for (const kvm_cpuid_entry2& entry : policy.machine) {
        if (entry.function == 0) {
            return entry.ebx != amd && entry.ebx != hygon;
        }
    }
    return false;
}

} // namespace

Result<void> set_long_mode(KvmVcpu& vcpu, const LongModeStart& start) {
    kvm_sregs sregs{};
    if (::ioctl(vcpu.fd(), KVM_GET_SREGS, &sregs) != 0) {
        return kvm_error("show a virtual CPU's registers");
    }
    sregs.cs = segment(start.cs, 0xb, 0, true);
    sregs.ss = segment(start.ss, 0x3, 0, false);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = segment(start.data, 0x3, 3, false);
    sregs.tr = {};
    sregs.tr.selector = start.tss;
    sregs.tr.base = start.tss_base;
    sregs.tr.limit = 0x67;
    sregs.tr.type = 0xb;
    sregs.tr.present = 1;
    sregs.ldt = {};
    sregs.ldt.unusable = 1;
    sregs.gdt.base = start.gdt.base;
    sregs.gdt.limit = start.gdt.limit;
    sregs.idt.base = start.idt.base;
    sregs.idt.limit = start.idt.limit;
    sregs.cr0 = cr0_value;
    sregs.cr3 = start.root;
    sregs.cr4 =
        cr4_pae | cr4_osfxsr | cr4_osxmmexcpt | (start.xcr0 != 0 ? cr4_osxsave : 0) | (start.smep ? cr4_smep : 0);
    sregs.efer = efer_long_mode | (start.syscall.enabled ? efer_sce : 0);
    sregs.apic_base |= 0xc00; // enabled, x2APIC
    if (::ioctl(vcpu.fd(), KVM_SET_SREGS, &sregs) != 0) {
        return kvm_error("start in long mode");
    }
    if (start.xcr0 != 0) {
        kvm_xcrs xcrs{};
        xcrs.nr_xcrs = 1;
        xcrs.xcrs[0].xcr = 0;
        xcrs.xcrs[0].value = start.xcr0;
        if (::ioctl(vcpu.fd(), KVM_SET_XCRS, &xcrs) != 0) {
            return kvm_error("enable vector state");
        }
    }
    if (auto set = vcpu.set_msrs({{msr_star, start.star},
                                  {msr_lstar, start.syscall.lstar},
                                  {msr_cstar, start.syscall.cstar},
                                  {msr_sfmask, sfmask_value}});
        !set) {
        return set.error();
    }
    kvm_regs regs{};
    regs.rip = start.rip;
    regs.rsp = start.rsp;
    regs.rdi = start.rdi;
    regs.rflags = 2;
    if (::ioctl(vcpu.fd(), KVM_SET_REGS, &regs) != 0) {
        return kvm_error("take a virtual CPU's registers");
    }
    kvm_mp_state runnable{KVM_MP_STATE_RUNNABLE};
    (void)::ioctl(vcpu.fd(), KVM_SET_MP_STATE, &runnable);
    return {};
}

SyscallSetup syscall_setup(const ImageHeader& header, unsigned id, const Substrate& substrate) {
    const std::uint64_t stub = syscall_stub_va(header, id);
    if (substrate.syscall_arrival == SyscallArrival::ring0) {
        return {.enabled = true, .lstar = stub, .cstar = stub + SYSCALL32_STUB_OFFSET};
    }
    // A SYSCALL that stays at ring 3 goes through the gate, where the home has one.
    return {.enabled = false, .lstar = header.gate_text != 0 ? gate_va(id) : stub, .cstar = 0};
}

bool has_cpuid_faulting(KvmVcpu& vcpu, const Substrate& substrate) {
    constexpr std::uint32_t msr_platform_info = 0xce;
    constexpr std::uint64_t cpuid_faulting = std::uint64_t{1} << 31;
    if (substrate.ring3_native) {
        return false;
    }
    const auto info = vcpu.get_msr(msr_platform_info);
    return info && (*info & cpuid_faulting) != 0;
}

bool uses_smep(Home home, const CpuidTable& machine) {
    constexpr std::uint32_t smep_7_ebx = 1 << 7;
    for (const kvm_cpuid_entry2& entry : machine) {
        if (entry.function == 7 && entry.index == 0) {
            return home == Home::ring0 && (entry.ebx & smep_7_ebx) != 0;
        }
    }
    return false;
}

Result<void> set_up_vcpu(KvmVcpu& vcpu, unsigned id, const NucleusPlace& place, const Substrate& substrate,
                         const CpuidPolicy& policy) {
    if (auto set = vcpu.set_cpuid(policy.machine); !set) {
        return set.error();
    }
    const std::uint64_t area = vcpu_area_va(id);
    LongModeStart start;
    start.cs = NUCLEUS_CS;
    start.ss = NUCLEUS_DS;
    start.data = 0xe02b;
    start.tss = NUCLEUS_TSS;
    start.tss_base = area + AREA_TSS;
    start.gdt = {area + AREA_GDT_WINDOW, 0xffff};
    start.idt = {IDT_VA, 0xfff};
    start.root = place.stub_root_mfn * page_size;
    start.rip = place.header.boot_entry;
    start.rsp = area + AREA_CORE_STACK_END;
    start.rdi = area;
    start.star = std::uint64_t{0xe023} << 48 | std::uint64_t{NUCLEUS_CS} << 32;
    start.syscall = syscall_setup(place.header, id, substrate);
    // KVM below a native ring 3 knows no XSAVE, and the processor's own setting is the host's anyway.
    start.xcr0 = substrate.vm_xcr0;
    start.smep = uses_smep(place.boot->home, policy.machine);
    if (auto set = set_long_mode(vcpu, start); !set) {
        return set.error();
    }
    if (auto set = vcpu.set_msrs({{msr_pat, pat_all_write_back}}); !set) {
        return set.error();
    }
    if (substrate.syscall_arrival == SyscallArrival::ring0 && has_sysenter(policy)) {
        if (auto set = vcpu.set_msrs({{msr_sysenter_cs, NUCLEUS_CS},
                                      {msr_sysenter_esp, area + AREA_ENTRY_END},
                                      {msr_sysenter_eip, place.header.sysenter_entry}});
            !set) {
            return set.error();
        }
    }
    // A KVM that refuses never sets the word's bit, and the nucleus ends its interrupts by the APIC.
    (void)vcpu.set_msrs({{msr_kvm_pv_eoi, (place.first_area_mfn * page_size + id * AREA_END + AREA_PV_EOI) | 1}});
    return {};
}

} // namespace parapet::vmm
