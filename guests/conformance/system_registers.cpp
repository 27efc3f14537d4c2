// SPDX-License-Identifier: Apache-2.0
// mov to and from control and debug registers in every form that a kernel may use, and far calls by selectors of an
// LDT.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "system_registers";

namespace {

uint64_t value;

/// Runs "0f OPCODE MODRM" with rax as the general register; what rax is then, in `value`.
#define MOVE(prefixes, opcode, modrm, before)                                                                          \
    catch_trap([] {                                                                                                    \
        uint64_t rax = (before);                                                                                       \
        asm volatile(prefixes ".byte 0x0f, " #opcode ", " #modrm : "+a"(rax) : : "memory");                            \
        value = rax;                                                                                                   \
    })

void control_registers() {
    expect_trap(MOVE("", 0x20, 0xc0, 0), no_trap, 0, "read cr0");
    const uint64_t cr0 = value;
    expect((cr0 & 0x80000001) == 0x80000001 && (cr0 >> 32) == 0, "cr0 %lx", cr0);
    // The two high bits of ModRM mean nothing: no address follows.
    expect_trap(MOVE("", 0x20, 0x00, 0), no_trap, 0, "read cr0, mod 0");
    expect(value == cr0, "cr0 with mod 0: %lx", value);
    expect_trap(MOVE(".byte 0x48;", 0x20, 0xc0, 0), no_trap, 0, "read cr0 with REX.W");
    expect(value == cr0, "cr0 with REX.W: %lx", value);
    expect_trap(MOVE("", 0x20, 0xc8, 0), vector_gp, 0, "read cr1");
    expect_trap(MOVE("", 0x20, 0xd0, 0), no_trap, 0, "read cr2");
    expect_trap(MOVE("", 0x20, 0xd8, 0), no_trap, 0, "read cr3");
    expect(value == virt_to_mfn(root_table()) << page_shift, "cr3 %lx", value);
    expect_trap(MOVE("", 0x20, 0xe0, 0), no_trap, 0, "read cr4");
    const uint64_t cr4 = value;
    expect((cr4 & 0x20) != 0, "cr4 %lx", cr4);
    expect_trap(MOVE(".byte 0x44;", 0x20, 0xc0, 0), vector_gp, 0, "read cr8");

    static uint64_t wanted;
    wanted = cr0 | 8;
    expect_trap(catch_trap([] { asm volatile("movq %0, %%cr0" : : "r"(wanted)); }), no_trap, 0, "set cr0.TS");
    expect_trap(MOVE("", 0x20, 0xc0, 0), no_trap, 0, "read it");
    expect(value == wanted, "cr0 with TS %lx", value);
    expect_trap(catch_trap([] { asm volatile("clts"); }), no_trap, 0, "clts");
    wanted = cr0 & ~0x80000000ul;
    expect_trap(catch_trap([] { asm volatile("movq %0, %%cr0" : : "r"(wanted)); }), vector_gp, 0, "clear cr0.PG");
    expect_trap(catch_trap([] { asm volatile("movq %0, %%cr2" : : "r"(0x5555ul)); }), no_trap, 0, "write cr2");
    expect_trap(MOVE("", 0x20, 0xd0, 0), no_trap, 0, "read cr2");
    expect(value == 0x5555 && fault_address() == 0x5555, "cr2 %lx, in vcpu_info %lx", value, fault_address());
    wanted = cr4;
    expect_trap(catch_trap([] { asm volatile("movq %0, %%cr4" : : "r"(wanted)); }), no_trap, 0, "write cr4 back");
    wanted = cr4 | 1ul << 12; // LA57 is not the guest's
    expect_trap(catch_trap([] { asm volatile("movq %0, %%cr4" : : "r"(wanted)); }), no_trap, 0, "a bit not its own");
    expect_trap(MOVE("", 0x20, 0xe0, 0), no_trap, 0, "read cr4");
    expect(value == cr4, "cr4 %lx became %lx", cr4, value);
    for (unsigned bit = 2; bit <= 3; ++bit) { // TSD, DE
        wanted = cr4 ^ 1ul << bit;
        expect_trap(catch_trap([] { asm volatile("movq %0, %%cr4" : : "r"(wanted)); }), no_trap, 0, "write cr4");
        expect_trap(MOVE("", 0x20, 0xe0, 0), no_trap, 0, "read cr4");
        expect(value == wanted, "cr4 %lx, wanted %lx", value, wanted);
        asm volatile("movq %0, %%cr4" : : "r"(cr4));
    }
    // What UMIP could keep from ring 3: shown, and a domain may come to depend on it. The values are the hypervisor's.
    static struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table;
    expect_trap(catch_trap([] { asm volatile("smsw %0" : "=r"(value)); }), no_trap, 0, "smsw");
    expect((value & 0x80000001) == 0x80000001, "smsw: %lx", value);
    expect_trap(catch_trap([] { asm volatile("sgdt %0" : "=m"(table)); }), no_trap, 0, "sgdt");
    print("info: sgdt: %lx, %x\n", table.base, table.limit);
    expect_trap(catch_trap([] { asm volatile("sidt %0" : "=m"(table)); }), no_trap, 0, "sidt");
    print("info: sidt: %lx, %x\n", table.base, table.limit);
    expect_trap(catch_trap([] { asm volatile("sldt %0" : "=r"(value)); }), no_trap, 0, "sldt");
    print("info: sldt: %lx\n", value);
    expect_trap(catch_trap([] { asm volatile("str %0" : "=r"(value)); }), no_trap, 0, "str");
    print("info: str: %lx\n", value);
    expect_trap(catch_trap([] { asm volatile("lmsw %w0" : : "r"(0x33)); }), vector_gp, 0, "lmsw");
    expect_trap(catch_trap([] { asm volatile("invd"); }), vector_gp, 0, "invd");
}

uint64_t cr4_with_de() {
    uint64_t cr4;
    asm volatile("movq %%cr4, %0" : "=r"(cr4));
    return cr4 | 8;
}

void debug_registers() {
    static uint64_t wanted;
    for (unsigned number = 0; number < 4; ++number) {
        expect_result(hypercall(__HYPERVISOR_set_debugreg, number, 0x1000 * (number + 1)), 0, "set_debugreg");
    }
    expect_trap(MOVE("", 0x21, 0xc0, 0), no_trap, 0, "read dr0");
    expect(value == 0x1000, "dr0 %lx", value);
    expect_trap(MOVE("", 0x21, 0x08, 0), no_trap, 0, "read dr1, mod 0");
    expect(value == 0x2000, "dr1 %lx", value);
    expect_trap(MOVE(".byte 0x48;", 0x21, 0xd8, 0), no_trap, 0, "read dr3 with REX.W");
    expect(value == 0x4000, "dr3 %lx", value);
    wanted = 0x7000;
    expect_trap(catch_trap([] { asm volatile("movq %0, %%dr2" : : "r"(wanted)); }), no_trap, 0, "write dr2");
    expect_result(hypercall(__HYPERVISOR_get_debugreg, 2), 0x7000, "get_debugreg of it");
    wanted = HYPERVISOR_VIRT_START;
    expect_trap(catch_trap([] {
                    asm volatile("movq %0, %%dr2" : : "r"(wanted));
                }),
                vector_gp, 0, "an address of the hypervisor");
    expect_trap(MOVE("", 0x21, 0xf0, 0), no_trap, 0, "read dr6");
    expect((value & 0xffff0ff0) == 0xffff0ff0, "dr6 %lx", value);
    const uint64_t dr6 = value;
    expect_trap(MOVE("", 0x21, 0xf8, 0), no_trap, 0, "read dr7");
    expect((value & 0x400) != 0, "dr7 %lx", value);
    const uint64_t dr7 = value;
    // 4 and 5 are 6 and 7, unless CR4.DE says that they are none.
    expect_trap(MOVE("", 0x21, 0xe0, 0), no_trap, 0, "read dr4");
    expect(value == dr6, "dr4 %lx, dr6 %lx", value, dr6);
    expect_trap(MOVE("", 0x21, 0xe8, 0), no_trap, 0, "read dr5");
    expect(value == dr7, "dr5 %lx, dr7 %lx", value, dr7);
    expect_trap(MOVE(".byte 0x44;", 0x21, 0xc0, 0), vector_ud, 0, "read dr8");
    asm volatile("movq %0, %%cr4" : : "r"(cr4_with_de()));
    expect_trap(MOVE("", 0x21, 0xe0, 0), vector_ud, 0, "read dr4 with CR4.DE");
    asm volatile("movq %0, %%cr4" : : "r"(cr4_with_de() & ~8ul));
    wanted = 0x2400; // GD
    expect_trap(catch_trap([] { asm volatile("movq %0, %%dr7" : : "r"(wanted)); }), vector_gp, 0, "general detect");
}

/// Far calls through selectors that lead nowhere: the error code is the selector, without its RPL.
void far_calls() {
    static struct __attribute__((packed)) {
        uint32_t offset;
        uint16_t selector;
    } target;
    const auto call = [](uint16_t selector) {
        target = {0x1000, selector};
        return catch_trap([] { asm volatile("lcall *%0" : : "m"(target) : "memory"); });
    };
    expect_trap(call(0), vector_gp, 0, "far call by the null selector");
    expect_trap(call(0x7fb), vector_gp, 0x7f8, "far call by an entry that the GDT has not");
    expect_trap(call(0x0f), vector_gp, 0x0c, "far call by an LDT that is not there");
    expect_trap(call(0x7f7), vector_gp, 0x7f4, "far call by an entry that the LDT has not");
    auto* table = static_cast<uint64_t*>(alloc_page());
    expect_result(set_read_only(table), 0, "LDT page read-only");
    ::mmuext_op request{};
    request.cmd = MMUEXT_SET_LDT;
    request.arg1.linear_addr = address_of(table);
    request.arg2.nr_ents = 2;
    expect_result(hypercall(__HYPERVISOR_mmuext_op, &request, 1, 0, DOMID_SELF), 0, "an LDT of two entries");
    expect_trap(call(0x0f), vector_gp, 0x0c, "far call by an empty entry of the LDT");
    expect_trap(call(0x17), vector_gp, 0x14, "far call behind the LDT's end");
    request.arg2.nr_ents = 0;
    request.arg1.linear_addr = 0;
    expect_result(hypercall(__HYPERVISOR_mmuext_op, &request, 1, 0, DOMID_SELF), 0, "no LDT");
    expect_trap(call(0x0f), vector_gp, 0x0c, "far call after the LDT is gone");
}

} // namespace

void test() {
    control_registers();
    debug_registers();
    far_calls();
}

} // namespace parapet::guest
