// SPDX-License-Identifier: Apache-2.0
// Home ring3 has a page of code that every program may execute: the system-call trampoline. A program jumps to each of
// its bytes with registers of its own making. The kernel must be shown what some system call could have shown it, and
// the timer must go on. And what the trampoline's data page shows a program must be nothing of the kernel or of others.
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

extern "C" {
extern char user_forge[], user_forge_end[], user_forge_spin[], user_forge_spin_end[], forgery_entry[];
/// rip, cs, rflags, rsp, ss as the kernel was shown them; its own flags; how often it was called.
uint64_t forgery_frame[7];
}

namespace parapet::guest {

namespace {

// Where Parapet has it (docs/architecture.md); in its other home nothing is there.
constexpr uint64_t trampoline = 0xffff838000000000, trampoline_data = trampoline + 4096;
constexpr uint64_t program_flags = 0x244dd5, always_set = 0x202,
                   entry_must_clear = 0x54700; // AC NT DF TF, and IF shown
constexpr uint64_t called = 0xca11, trapped = 0x7a9, interrupted = 0x717, spun = 0x600d;
constexpr uint64_t tick_ns = 5'000'000;

unsigned failures = 0;
uint64_t target, calls, traps, ticks_in_user;

void fail(const char* what, uint64_t value) {
    if (failures++ < 10) {
        print("fail: at %lx: %s %lx\n", target, what, value);
    }
}

bool is_canonical(uint64_t va) {
    return static_cast<uint64_t>(static_cast<int64_t>(va << 16) >> 16) == va;
}

void judge_flags(uint64_t rflags) {
    if ((rflags & ~program_flags) != always_set) {
        fail("a program's flags cannot be", rflags);
    }
}

void on_trap(TrapFrame& frame) {
    traps++;
    if (!frame.from_user()) {
        print_frame(frame);
        print("verdict: FAIL trampoline_forgery: the kernel faulted\n");
        shutdown(SHUTDOWN_crash);
    }
    judge_flags(frame.rflags & ~0x10000ul); // RF, which a fault sets
    user_leave(trapped);
}

void on_event(TrapFrame& frame) {
    events_dispatch();
    if (frame.from_user()) {
        ticks_in_user++;
        judge_flags(frame.rflags);
        if (target != 0) {
            user_leave(interrupted);
        }
    }
}

/// The words that user_forge takes.
struct Registers {
    uint64_t rcx, r11, rflags, rsp, rax, ticks;
};

void forge(uint64_t to, const Registers& with) {
    target = to;
    forgery_frame[6] = 0;
    memcpy(user_data_page(), &with, sizeof(with));
    unmask_events();
    const uint64_t result = user_call(user_forge, user_forge_end, to, user_data);
    if (result == called) {
        calls++;
        judge_flags(forgery_frame[2]);
        if (!is_canonical(forgery_frame[0])) {
            fail("not canonical, rip", forgery_frame[0]);
        }
        if ((forgery_frame[1] & 0xffffffff) != FLAT_USER_CS || (forgery_frame[4] & 0xffff) != FLAT_USER_SS) {
            fail("selectors", forgery_frame[1] << 32 | forgery_frame[4]);
        }
        if ((forgery_frame[5] & entry_must_clear) != 0x200) {
            fail("the kernel was entered with flags", forgery_frame[5]);
        }
    } else if (result != trapped && result != interrupted) {
        fail("came back with", result);
    }
}

void every_byte() {
    const uint64_t stack = user_stack_top - 256;
    const Registers sets[] = {
        {user_code, 0x2, 0x202, stack, 5, 0},                           // IF clear
        {0x8000'0000'0000'0000, ~0ul, 0x44c02, stack, 5, 0},            // all of it, from AC, NT, DF, OF
        {trampoline_data, 0x7000, 0x202, 0xffff'8200'0010'1000, 23, 0}, // the nucleus's stack for rsp; iret for rax
        {0x0000'8000'0000'0000, 0x10100, 0x202, 0x0000'9000'0000'0000, 5, 0} // neither is canonical; RF and TF
    };
    for (const Registers& set : sets) {
        for (uint64_t offset = 0; offset < 4096; offset++) {
            forge(trampoline + offset, set);
        }
    }
    for (uint64_t offset : {0ul, 8ul, 4095ul}) {
        forge(trampoline_data + offset, sets[0]);
    }
}

/// Each byte that leads to a system call: spins in what the kernel returned to. The ticks must reach it there.
void ticks_go_on() {
    const Registers forged{0, 0x2, 0x202, user_stack_top - 256, 7, tsc_hertz() / 50};
    unsigned spins = 0;
    for (uint64_t offset = 0; offset < 256; offset++) {
        target = trampoline + offset;
        forge(target, {user_code, 0x202, 0x202, user_stack_top - 256, 5, 0});
        if (forgery_frame[6] == 0) {
            continue;
        }
        memcpy(user_data_page(), &forged, sizeof(forged));
        const uint64_t at = target;
        target = 0; // ticks come and go
        ticks_in_user = 0;
        unmask_events();
        const uint64_t result = user_call(user_forge_spin, user_forge_spin_end, at, user_data);
        target = at;
        if (result == spun) {
            spins++;
            judge_flags(forgery_frame[2]);
            if (ticks_in_user == 0) {
                fail("no tick in 20 ms behind it, flags", forgery_frame[2]);
            }
        }
    }
    print("%u places that lead to a system call were returned from with forged flags\n", spins);
}

void data_page_keeps_secrets() {
    // The program has been at it for a while: its stack and the kernel's addresses would stand there.
    const Registers peek{user_code, 0x202, 0x202, user_stack_top - 256, 5, 0};
    forge(trampoline, peek);
    static const char code[] = "\x48\x8b\x3f\x48\xc7\xc0\xff\xff\xff\xff\x0f\x05\x0f\x0b"; // mov (%rdi),%rdi; leave
    for (uint64_t offset = 0; offset < 4096; offset += 8) {
        target = trampoline_data + offset;
        unmask_events();
        const uint64_t word = user_call(code, code + sizeof(code) - 1, target);
        const bool in_trampoline = word >= trampoline && word < trampoline + 4096;
        if (word != 0 && word != trapped && word != interrupted && !in_trampoline) {
            fail("a program reads", word);
        }
    }
}

bool start() {
    callback_register request{CALLBACKTYPE_syscall, CALLBACKF_mask_events, address_of(forgery_entry)};
    const long port = bind_virq(VIRQ_TIMER);
    vcpu_set_periodic_timer_t period{tick_ns};
    for (unsigned vector = 0; vector < 20; vector++) {
        set_trap_handler(vector, on_trap);
    }
    set_trap_handler(vector_failsafe, on_trap);
    set_trap_handler(vector_event, on_event);
    return user_init() == 0 && hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request) == 0 && port >= 0 &&
           unmask_port(static_cast<evtchn_port_t>(port)) == 0 && vcpu_op(VCPUOP_set_periodic_timer, 0, &period) == 0;
}

} // namespace

int guest_main() {
    if (!start()) {
        print("verdict: FAIL trampoline_forgery: no user mode\n");
        return 1;
    }
    every_byte();
    print("4 times 4096 jumps: %lu system calls, %lu exceptions\n", calls, traps);
    ticks_go_on();
    data_page_keeps_secrets();
    vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr);
    print(failures == 0 ? "verdict: PASS trampoline_forgery\n" : "verdict: FAIL trampoline_forgery: %u findings\n",
          failures);
    return failures == 0 ? 0 : 1;
}

} // namespace parapet::guest
