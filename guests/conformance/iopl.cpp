// SPDX-License-Identifier: Apache-2.0
// VMASST_TYPE_architectural_iopl: IOPL by iret, in frames, and for cli, sti and ports; and the hypercall's way.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "iopl";

namespace {

constexpr uint64_t iopl_mask = 0x3000, user_flags = 0x202, skipped = 0x5ca1ab1e;

TrapFrame seen;
unsigned traps;

void leave(TrapFrame& frame) {
    seen = frame;
    ++traps;
    user_leave(frame.rdi);
}

void note_and_skip_ud2(TrapFrame& frame) {
    seen = frame;
    frame.rip += 2;
}

unsigned iopl_of(const TrapFrame& frame) {
    return static_cast<unsigned>((frame.rflags & iopl_mask) >> 12);
}

void set_iopl(unsigned level) {
    physdev_set_iopl request{level};
    expect_result(hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &request), 0, "set_iopl");
}

/// The pieces in user mode that starts with this IOPL in its flags.
void in_user_mode(unsigned level, bool allowed, unsigned shown, const char* what) {
    user_rflags = user_flags | static_cast<uint64_t>(level) << 12;
    const struct {
        const char *name, *begin, *end;
    } pieces[] = {{"cli", user_cli, user_cli_end}, {"in", user_port, user_port_end}};
    for (const auto& piece : pieces) {
        traps = 0;
        const uint64_t result = user_call(piece.begin, piece.end, 1);
        if (allowed) {
            expect(result == skipped && seen.vector == vector_syscall, "%s, %s: vector %lu", what, piece.name,
                   seen.vector);
        } else {
            expect(seen.vector == vector_gp && seen.error_code == 0 && seen.rip == user_code,
                   "%s, %s: vector %lu code %lx rip %lx", what, piece.name, seen.vector, seen.error_code, seen.rip);
        }
        expect(traps == 1 && iopl_of(seen) == shown, "%s, %s: the frame shows IOPL %u", what, piece.name,
               iopl_of(seen));
    }
    RUN_USER(user_read, user_hole);
    expect(seen.vector == vector_pf && iopl_of(seen) == shown, "%s: vector %lu shows IOPL %u", what, seen.vector,
           iopl_of(seen));
    user_rflags = user_flags;
}

void in_kernel_mode(bool allowed, unsigned shown, const char* what) {
    expect_trap(catch_trap([] { asm volatile("cli"); }), allowed ? no_trap : vector_gp, 0, what);
    expect_trap(catch_trap([] { asm volatile("sti"); }), allowed ? no_trap : vector_gp, 0, what);
    set_trap_handler(vector_ud, note_and_skip_ud2);
    asm volatile("ud2");
    set_trap_handler(vector_ud, nullptr);
    expect(iopl_of(seen) == shown, "%s: a frame of the kernel shows IOPL %u", what, iopl_of(seen));
}

} // namespace

void test() {
    if (!expect_result(user_init(), 0, "making user mode")) {
        return;
    }
    callback_register request{CALLBACKTYPE_syscall, 0, address_of(trap_stub_syscall)};
    expect_result(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request), 0, "syscall callback");
    set_trap_handler(vector_syscall, leave);
    const auto catch_user = [](bool on) {
        for (const unsigned vector : {vector_gp, vector_pf}) {
            set_trap_handler(vector, on ? leave : nullptr);
        }
    };

    in_kernel_mode(false, 0, "without the assist, IOPL 0");
    catch_user(true);
    in_user_mode(3, false, 0, "without the assist, IOPL 3 in the flags");
    set_iopl(3);
    in_user_mode(0, true, 0, "without the assist, IOPL 3 by hypercall");
    catch_user(false);
    in_kernel_mode(true, 0, "without the assist, IOPL 3 by hypercall");
    set_iopl(0);

    expect_result(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_architectural_iopl), 0, "enable");
    in_kernel_mode(true, 0, "with the assist, IOPL 0");
    catch_user(true);
    in_user_mode(0, false, 0, "with the assist, IOPL 0");
    in_user_mode(1, false, 1, "with the assist, IOPL 1");
    in_user_mode(3, true, 3, "with the assist, IOPL 3");
    in_user_mode(0, false, 0, "with the assist, IOPL 0 again");
    catch_user(false);
    set_iopl(2);
    in_kernel_mode(true, 2, "with the assist, IOPL 2 by hypercall");

    expect_result(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_TYPE_architectural_iopl), 0, "disable");
    in_kernel_mode(true, 0, "without the assist again, IOPL 2");
    set_iopl(0);
    catch_user(true);
    in_user_mode(3, false, 0, "without the assist again");
}

} // namespace parapet::guest
