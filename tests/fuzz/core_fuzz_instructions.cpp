// SPDX-License-Identifier: Apache-2.0
// Instructions of the fuzzer's guest that fault: stores to page tables, privileged and port instructions, software
// interrupts, and bytes of any kind.
#include "tests/fuzz/core_fuzz_run.hpp"

#include "hypercall-emu/core/msr.hpp"
#include "pv-abi/trap.hpp"

#include <string_view>

namespace parapet::nucleus::fuzz {

namespace {

using namespace std::string_view_literals;

/// Stores by rdi (or to it) that the trap on page tables emulates.
constexpr std::string_view STORES[] = {
    "\x48\x89\x07"sv,                 // mov %rax,(%rdi)
    "\x48\xc7\x07\x00\x00\x00\x00"sv, // movq $0,(%rdi)
    "\x48\x87\x07"sv,                 // xchg
    "\xf0\x48\x0f\xb1\x37"sv,         // lock cmpxchg %rsi
    "\x48\xab"sv,                     // stosq
    "\xf3\x48\xab"sv,                 // rep stosq
    "\x48\xa5"sv,                     // movsq
    "\xf3\x48\xa5"sv,                 // rep movsq
    "\xf0\x48\x0f\xba\x2f\x01"sv,     // lock btsq $1
    "\x48\x0f\xab\x37"sv,             // bts %rsi
    "\x48\x0f\xb3\x37"sv,             // btr %rsi
    "\xf0\x48\x0f\xba\x37\x01"sv,     // lock btrq $1
    "\x48\x83\x27\xfd"sv,             // andq $~2
    "\x48\x81\x27\xfd\xff\xff\xff"sv, // andq $~2
    "\x48\x09\x07"sv,                 // or %rax
    "\x48\xff\x07"sv,                 // incq
    "\x89\x07"sv,                     // movl
    "\x0f\xc7\x0f"sv,                 // cmpxchg8b
    "\x48\x0f\xc3\x07"sv,             // movnti
    "\x48\x0f\xc1\x07"sv,             // xadd
    "\x48\xf7\x17"sv,                 // not
    "\x48\xf7\x1f"sv,                 // neg
    "\x88\x47\x03"sv,                 // movb to the entry's fourth byte
    "\x66\x89\x47\x06"sv,             // movw to its last two
    "\x48\x89\x47\x04"sv,             // across two entries
};

constexpr std::string_view PRIVILEGED[] = {
    "\x0f\x22\xd8"sv,         // mov %rax,%cr3
    "\x0f\x20\xd8"sv,         // mov %cr3,%rax
    "\x0f\x22\xc0"sv,         // mov %rax,%cr0
    "\x0f\x20\xc0"sv,         // mov %cr0,%rax
    "\x0f\x22\xe0"sv,         // mov %rax,%cr4
    "\x0f\x20\xe0"sv,         // mov %cr4,%rax
    "\x0f\x20\xd0"sv,         // mov %cr2,%rax
    "\x0f\x22\xd0"sv,         // mov %rax,%cr2
    "\x0f\x23\xf8"sv,         // mov %rax,%db7
    "\x0f\x23\xc0"sv,         // mov %rax,%db0
    "\x0f\x21\xf8"sv,         // mov %db7,%rax
    "\x0f\x21\xf0"sv,         // mov %db6,%rax
    "\x0f\x30"sv,             // wrmsr
    "\x0f\x32"sv,             // rdmsr
    "\x0f\x31"sv,             // rdtsc
    "\xf4"sv,                 // hlt
    "\x0f\x01\xd0"sv,         // xgetbv
    "\x0f\x01\xd1"sv,         // xsetbv
    "\x0f\x01\xf9"sv,         // rdtscp
    "\x0f\x01\x3f"sv,         // invlpg (%rdi)
    "\x0f\x01\xf0"sv,         // lmsw %ax
    "\x0f\x01\xe0"sv,         // smsw %eax
    "\x0f\x06"sv,             // clts
    "\x0f\x09"sv,             // wbinvd
    "\x0f\xa2"sv,             // cpuid
    "\xfa"sv,                 // cli
    "\xfb"sv,                 // sti
    "\xec"sv,                 // in (%dx),%al
    "\xef"sv,                 // out %eax,(%dx)
    "\xe4\x61"sv,             // in $0x61,%al
    "\xe6\x80"sv,             // out %al,$0x80
    "\x6c"sv,                 // insb
    "\xf3\x6d"sv,             // rep insl
    "\xf3\x6f"sv,             // rep outsl
    "\xf3\x48\x0f\xae\xd0"sv, // wrfsbase %rax
    "\xf3\x48\x0f\xae\xc0"sv, // rdfsbase %rax
};

constexpr std::string_view INTERRUPTS[] = {
    "\xcd\x80"sv,                     // int $0x80
    "\xcd\x03"sv,                     // int $3
    "\xcc"sv,                         // int3
    "\x0f\x0b\x78\x65\x6e\x0f\xa2"sv, // CPUID by Xen's prefix
    "\x0f\x0b"sv,                     // ud2
};

struct Bytes {
    u8 bytes[16]{};
    size_t length = 0;
};

Bytes any_bytes(Record& record) {
    Bytes code;
    for (; code.length < 15; code.length++)
        code.bytes[code.length] = record.byte();
    return code;
}

/// The text of an instruction, perhaps behind a prefix.
Bytes code_of(std::string_view text, Record& record) {
    constexpr u8 PREFIXES[] = {0x66, 0x67, 0x2e, 0x64, 0x65, 0xf0, 0xf2, 0xf3, 0x48, 0x41, 0x44};
    Bytes code;
    for (unsigned left = record.chance(40) ? 1 + record.byte() % 2 : 0; left > 0; left--)
        code.bytes[code.length++] = record.one_of(PREFIXES);
    std::memcpy(code.bytes + code.length, text.data(), text.size());
    code.length += text.size();
    return code;
}

u64 msr_index(Record& record) {
    constexpr u64 KNOWN[] = {msr::FS_BASE,
                             msr::GS_BASE,
                             msr::KERNEL_GS_BASE,
                             msr::TSC_AUX,
                             msr::EFER,
                             msr::PAT,
                             msr::TSC,
                             msr::APIC_BASE,
                             msr::SPEC_CTRL,
                             msr::PRED_CMD,
                             msr::UCODE_REV,
                             msr::HWCR,
                             msr::DE_CFG,
                             msr::ARCH_CAPABILITIES,
                             msr::TSC_DEADLINE,
                             msr::MISC_FEATURES_ENABLES,
                             msr::PLATFORM_INFO,
                             msr::MCG_STATUS};
    return record.one_of(KNOWN);
}

void load_registers(World& world, Values& values, Record& record, bool user) {
    Regs& regs = *world.vcpu().regs;
    regs.rsp = user ? USER_VA + 2 * PAGE_SIZE : record.chance(235) ? world.va(STACK, PAGE_SIZE) : values.address();
    const u64 table = world.va(PLAY + (record.chance(200) ? record.below(2) : record.below(PLAY_PAGES)));
    const u64 within = values.index() * sizeof(Pte) + (record.chance(200) ? 0 : record.byte() & 7);
    regs.rdi = record.chance(230) ? table + within : values.any();
    regs.rsi = record.chance(128) ? values.address() : values.any();
    regs.rax = record.chance(200) ? values.entry() : values.any();
    regs.rcx = record.chance(128) ? record.below(4) : record.chance(128) ? msr_index(record) : values.any();
    regs.rdx = record.chance(128) ? 0 : values.any();
    if (record.chance(60))
        regs.rbx = values.any();
    if (record.chance(20))
        regs.rflags |= rflags::TF;
    if (record.chance(20))
        regs.rflags ^= rflags::DF;
}

} // namespace

u64 prepare_instruction(World& world, Values& values, Record& record) {
    Vcpu& vcpu = world.vcpu();
    Regs& regs = *vcpu.regs;
    const bool user = vcpu.kernel_mode == 0;
    const u8 kind = record.byte();
    Bytes code;
    u64 vector = abi::TRAP_gp_fault;
    if (kind < 110) {
        code = code_of(record.one_of(STORES), record);
        vector = abi::TRAP_page_fault;
    } else if (kind < 190) {
        code = code_of(record.one_of(PRIVILEGED), record);
    } else if (kind < 216) {
        code = code_of(record.one_of(INTERRUPTS), record);
        vector = record.chance(128) ? abi::TRAP_gp_fault : abi::TRAP_invalid_op;
    } else {
        code = any_bytes(record);
        constexpr u8 VECTORS[] = {0, 1, 3, 4, 6, 7, 11, 12, 13, 14, 16, 17, 18, 19, 21};
        vector = record.chance(200) ? record.one_of(VECTORS) : record.byte() % 32;
    }
    const u64 page = user ? USER_VA : world.va(CODE);
    const u64 offset = record.chance(200) ? record.byte() : PAGE_SIZE - 1 - record.below(16);
    const size_t fits = offset + code.length <= PAGE_SIZE ? code.length : PAGE_SIZE - offset;
    world.put(world.mfn(user ? USER_CODE : CODE), offset, code.bytes, fits);
    if (fits < code.length) // the rest is on the next page
        world.put(world.mfn(user ? USER_DATA : CODE + 1), 0, code.bytes + fits, code.length - fits);
    load_registers(world, values, record, user);
    regs.rip = record.chance(250) ? page + offset : values.address();
    regs.error = 0;
    if (vector == abi::TRAP_page_fault)
        regs.error = record.chance(220) ? 7 : record.byte() & 31u;
    else if (vector == abi::TRAP_gp_fault)
        regs.error = record.chance(128) ? 0 : record.byte() * 8u + 2;
    vcpu.cr2 = record.chance(235) ? regs.rdi : values.address();
    return vector;
}

} // namespace parapet::nucleus::fuzz
