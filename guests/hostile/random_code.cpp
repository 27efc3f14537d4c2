// SPDX-License-Identifier: Apache-2.0
// Random instructions in user mode, 64-bit and compatibility code by turns, with registers that like the hypervisor's
// addresses. Whatever they do, this kernel is told and goes on. On the command line: seed=N, seconds=N (3), mode=64 or
// mode=32 for code of that kind only, qemu=1 for code without what QEMU's emulator gets wrong.
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/shutdown.hpp"
#include "guests/lib/time.hpp"
#include "guests/lib/traps.hpp"
#include "guests/lib/user.hpp"

namespace parapet::guest {

namespace {

struct Registers {
    uint64_t general[15];
    uint64_t rip, cs, rflags, rsp, ss;
};

constexpr uint64_t tick_ns = 1'000'000;
constexpr uint64_t program_flags = 0x244dd5; // CF PF AF ZF SF TF DF OF NT AC ID
/// Zero on every processor; bit 5 is not always so on QEMU's emulator, and nobody but the processor writes it.
constexpr uint64_t reserved_flags = 0x8028;

enum Outcome : uint64_t { called = 0xca11, trapped, interrupted };
uint64_t by_vector[vector_count], calls, ticks, state;
bool in_user = false;

uint64_t random() { // xorshift64*
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

Registers entered; ///< how user mode was entered last
uint64_t left_at;  ///< and where it was left

/// Says what is wrong, and what had been executed.
[[noreturn]] void broken(const char* what, uint64_t value) {
    print("verdict: FAIL random_code: %s %lx\n", what, value);
    print("entered: rip %lx cs %lx rflags %lx rsp %lx ss %lx\n", entered.rip, entered.cs, entered.rflags, entered.rsp,
          entered.ss);
    print("left: rip %lx\n", left_at);
    constexpr const char* names[15] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8",
                                       "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    for (unsigned i = 0; i < 15; i++) {
        print("%s %016lx%s", names[i], entered.general[i], i % 5 == 4 ? "\n" : " ");
    }
    print("code there:");
    const auto* const page = static_cast<const unsigned char*>(user_code_page());
    for (uint64_t at = entered.rip % page_size, end = at + 64; at < end && at < page_size; at++) {
        print(" %02x", page[at]);
    }
    print("\n");
    shutdown(SHUTDOWN_crash);
}

void judge(uint64_t rip, uint64_t cs, uint64_t rflags) {
    left_at = rip;
    if ((cs & 3) != 3 || (cs >> 32) != 0) {
        broken("user mode with cs", cs);
    }
    if ((rflags & ~(program_flags | reserved_flags | 0x10000)) != 0x202) { // RF, which a fault sets
        broken("user mode with flags", rflags);
    }
}

void on_trap(TrapFrame& frame) {
    if (!in_user || !frame.from_user()) {
        print_frame(frame);
        broken("the kernel faulted, vector", frame.vector);
    }
    judge(frame.rip, frame.cs, frame.rflags);
    by_vector[frame.vector]++;
    in_user = false;
    user_leave(trapped);
}

void on_event(TrapFrame& frame) {
    events_dispatch();
    if (in_user && frame.from_user()) {
        judge(frame.rip, frame.cs, frame.rflags);
        ticks++;
        in_user = false;
        user_leave(interrupted);
    }
}

// What random bytes seldom hit: the ways into the kernel and what changes how they are taken.
constexpr unsigned char pieces[][4] = {
    {0x0f, 0x05, 0x90, 0x90}, {0x0f, 0x34, 0x90, 0x90}, {0xcd, 0x80, 0x90, 0x90}, {0xcd, 0x82, 0x90, 0x90},
    {0xcc, 0x90, 0x90, 0x90}, {0xf1, 0x90, 0x90, 0x90}, {0x8e, 0xd0, 0x0f, 0x05}, {0x8e, 0xd1, 0xcc, 0x90},
    {0x8e, 0xd1, 0xf1, 0x90}, {0x8e, 0xd0, 0x0f, 0x34}, {0x17, 0x0f, 0x05, 0x90}, {0x9d, 0x90, 0x90, 0x90},
    {0x48, 0xcf, 0x90, 0x90}, {0xcb, 0x90, 0x90, 0x90}, {0x48, 0xcb, 0x90, 0x90}, {0x0f, 0x01, 0xd0, 0x90},
    {0x0f, 0x01, 0xf8, 0x90}, {0x0f, 0x00, 0xd8, 0x90}, {0x0f, 0x20, 0xc0, 0x90}, {0x0f, 0x22, 0xd8, 0x90},
    {0xff, 0xe0, 0x90, 0x90}, {0xff, 0xe1, 0x90, 0x90}, {0xff, 0x28, 0x90, 0x90}, {0x48, 0x89, 0xc4, 0x90},
    {0x0f, 0xa2, 0x90, 0x90}, {0x0f, 0x0b, 0x0f, 0xa2}, {0xe4, 0x60, 0x90, 0x90}, {0xf4, 0x90, 0x90, 0x90},
};

uint64_t some_address() {
    // Where Parapet and the ABI have things (docs/architecture.md), each of these and a little beside it.
    constexpr uint64_t places[] = {0,
                                   user_code,
                                   user_data,
                                   user_stack_top,
                                   HYPERVISOR_VIRT_START,
                                   0xffff820000000000,
                                   0xffff820000101000,
                                   0xffff828000000000,
                                   0xffff838000000000,
                                   0xffff838000001000,
                                   0x00007ffffffff000,
                                   0x0000800000000000,
                                   virt_base};
    const uint64_t place = places[random() % (sizeof(places) / sizeof(places[0]))];
    return random() % 4 == 0 ? random() : place + (random() % 3 == 0 ? random() % 256 - 128 : 0);
}

/// What QEMU's emulator (the laptop rig) gets wrong (docs/substrates.md). It takes any IRET of 32-bit operands with VM
/// in the flags' word into virtual-8086 mode, at any ring, with IOPL and CS of ring 0 where the program says so; ends
/// itself at a VPINSR of 256 bits; and shows the count's register as flags where an RCL or RCR of memory faults. Code
/// may be entered at any byte, so none may be IRET's or a VEX prefix's, and no two may be such a rotation.
void leave_out_what_qemu_gets_wrong(unsigned char* code, uint64_t length) {
    constexpr unsigned char iret = 0xcf, vex3 = 0xc4, vex2 = 0xc5, nop = 0x90;
    const auto rotates = [](unsigned char opcode) { return (opcode & 0xfe) == 0xc0 || (opcode & 0xfc) == 0xd0; };
    const auto through_carry = [](unsigned char modrm) { return (modrm >> 3 & 6) == 2; };
    for (uint64_t at = length; at-- > 0;) {
        const bool wrong = code[at] == iret || code[at] == vex3 || code[at] == vex2 ||
                           (rotates(code[at]) && at + 1 < length && through_carry(code[at + 1]));
        code[at] = wrong ? nop : code[at];
    }
}

void make_code(unsigned char* code, uint64_t length) {
    for (uint64_t at = 0; at + 4 <= length;) {
        if (random() % 3 == 0) {
            memcpy(code + at, pieces[random() % (sizeof(pieces) / sizeof(pieces[0]))], 4);
            at += 4;
        } else {
            code[at++] = static_cast<unsigned char>(random() >> 32);
        }
    }
}

} // namespace

extern "C" {
uint64_t random_enter(const Registers* registers);
extern char random_entry[];
[[noreturn]] void random_left(uint64_t result, uint64_t cs, uint64_t rflags, uint64_t rip) {
    if (!in_user) {
        broken("a system call of nobody", cs);
    }
    judge(rip, cs, rflags);
    calls++;
    in_user = false;
    user_leave(result);
}
}

namespace {

bool start() {
    for (unsigned vector = 0; vector < 32; vector++) {
        set_trap_handler(vector, on_trap);
    }
    for (const unsigned vector : {vector_int80, vector_failsafe}) {
        set_trap_handler(vector, on_trap);
    }
    set_trap_handler(vector_event, on_event);
    if (user_init() != 0) {
        return false;
    }
    for (const auto type : {CALLBACKTYPE_syscall, CALLBACKTYPE_syscall32, CALLBACKTYPE_sysenter}) {
        callback_register request{static_cast<uint16_t>(type), CALLBACKF_mask_events, address_of(random_entry)};
        (void)hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request); // SYSENTER's only where there is one
    }
    const long port = bind_virq(VIRQ_TIMER);
    vcpu_set_periodic_timer_t period{tick_ns};
    return port >= 0 && unmask_port(static_cast<evtchn_port_t>(port)) == 0 &&
           vcpu_op(VCPUOP_set_periodic_timer, 0, &period) == 0;
}

void round(bool compat) {
    Registers with;
    for (uint64_t& word : with.general) {
        word = some_address();
    }
    if (random() % 4 == 0) {
        with.general[0] = random() % 2 == 0 ? FLAT_USER_SS : random() % 65536; // for `mov ss`
    }
    with.rip = user_code + random() % 4000;
    with.cs = compat ? FLAT_USER_CS32 : FLAT_USER_CS;
    with.rflags = 0x202 | (random() & program_flags & ~0x100ul);
    with.rsp = random() % 4 == 0 ? some_address() : user_stack_top - random() % 512;
    with.ss = FLAT_USER_SS;
    entered = with;
    in_user = true;
    (void)random_enter(&with);
    mask_events();
}

} // namespace

int guest_main() {
    const uint64_t seed = command_line_number("seed", 1), seconds = command_line_number("seconds", 3);
    const uint64_t mode = command_line_number("mode", 0);
    const bool for_qemu = command_line_number("qemu", 0) != 0;
    state = seed * 0x9e3779b97f4a7c15 + 1;
    print("random_code: seed %lu%s\n", seed, for_qemu ? ", without IRET and VEX prefixes" : "");
    if (!start()) {
        print("verdict: FAIL random_code: no user mode\n");
        return 1;
    }
    uint64_t rounds = 0;
    auto* code = static_cast<unsigned char*>(user_code_page());
    bool compat = false;
    for (const uint64_t end = now_ns() + seconds * 1'000'000'000; now_ns() < end; rounds++) {
        if (rounds % 16 == 0) { // entered at several places, a page of code is used well
            compat = mode == 0 ? !compat : mode == 32;
            make_code(code, page_size);
            if (for_qemu) {
                leave_out_what_qemu_gets_wrong(code, page_size);
            }
        }
        round(compat);
    }
    vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr);
    print("random_code: %lu rounds: %lu system calls, %lu ticks; exceptions by vector:", rounds, calls, ticks);
    for (unsigned vector = 0; vector < vector_count; vector++) {
        if (by_vector[vector] != 0) {
            print(" %u:%lu", vector, by_vector[vector]);
        }
    }
    print("\nverdict: PASS random_code\n");
    return 0;
}

} // namespace parapet::guest
