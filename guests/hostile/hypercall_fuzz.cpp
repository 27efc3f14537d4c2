// SPDX-License-Identifier: Apache-2.0
// Pseudo-random hypercalls. seed=N (1), iters=N (5000), trace prints each call before it is made.
// Left out is only what would rightly end or silence this guest: shutdown, blocking, iret, vCPU down, closing the
// console's port, moving vcpu_info and, as an initial domain, what may rightly hurt the machine.
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/traps.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned scratch_pages = 8;
constexpr unsigned hypercall_iret = 23;
unsigned char* scratch;
uint64_t scratch_mfn[scratch_pages];
uint64_t state;

uint64_t random() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

uint64_t below(uint64_t bound) {
    return random() % bound;
}

/// A number that is likely to mean something: an address, a frame, an entry, a size; never 1 to 8, our own ports.
uint64_t interesting() {
    const unsigned page = static_cast<unsigned>(below(scratch_pages));
    switch (below(14)) {
    case 0:
        return 0;
    case 1:
        return 9 + below(120);
    case 2:
        return address_of(scratch) + page * page_size + below(512) * 8;
    case 3:
        return scratch_mfn[page];
    case 4:
        return make_pte(scratch_mfn[page], random() & 0x1ff);
    case 5:
        return scratch_mfn[page] << page_shift | below(512) << 3;
    case 6:
        return HYPERVISOR_VIRT_START + (random() & 0x7ffffffffff);
    case 7:
        return random();
    case 8:
        return ~0ul << below(64);
    case 9:
        return 1ul << (4 + below(60));
    case 10:
        return random() & 0xffffffff;
    case 11:
        return DOMID_SELF;
    case 12:
        return virt_to_mfn(root_table());
    default:
        return machphys_start() + below(0x100000) * 8;
    }
}

void fill_scratch() {
    for (unsigned i = 0; i < scratch_pages; ++i) {
        unsigned char* page = scratch + i * page_size;
        if (set_writable(page) != 0) {
            continue; // it has become a table, or is gone
        }
        auto* words = reinterpret_cast<volatile uint64_t*>(page);
        const unsigned first = static_cast<unsigned>(below(480));
        catch_trap([=] {
            for (unsigned k = 0; k < 32; ++k) {
                words[first + k] = interesting();
            }
        });
    }
}

struct Call {
    unsigned number;
    uint64_t a[5];
};

bool forbidden(const Call& call) {
    const auto command = static_cast<uint32_t>(call.a[0]); // the hypervisor reads 32 bits of it
    switch (call.number) {
    case hypercall_iret:
    case __HYPERVISOR_multicall: // built by us, of calls that passed this test
    case __HYPERVISOR_sched_op_compat:
        return true;
    case __HYPERVISOR_sched_op:
        return command >= SCHEDOP_block && command <= SCHEDOP_watchdog;
    case __HYPERVISOR_vcpu_op:
        return command == VCPUOP_down || command == VCPUOP_register_vcpu_info || command == VCPUOP_send_nmi;
    case __HYPERVISOR_event_channel_op:
        return command == EVTCHNOP_reset || command == EVTCHNOP_init_control;
    case __HYPERVISOR_event_channel_op_compat:
    case __HYPERVISOR_physdev_op_compat:
        return true;
    case __HYPERVISOR_console_io:
        return command == CONSOLEIO_write;
    case __HYPERVISOR_set_debugreg:
        return command == 7;
    case __HYPERVISOR_memory_op: // would take all the machine's memory
        return is_initial_domain() &&
               ((command & 0x3f) == XENMEM_increase_reservation || (command & 0x3f) == XENMEM_populate_physmap);
    case __HYPERVISOR_platform_op:
    case __HYPERVISOR_kexec_op:
    case __HYPERVISOR_domctl:
    case __HYPERVISOR_sysctl:
    case __HYPERVISOR_arch_0: // machine checks
    case __HYPERVISOR_physdev_op:
    case __HYPERVISOR_hvm_op:
    case __HYPERVISOR_xenpmu_op:
        return is_initial_domain();
    default:
        return false;
    }
}

Call choose() {
    for (;;) {
        Call call{};
        call.number = static_cast<unsigned>(below(20) == 0 ? below(128) : below(50));
        call.a[0] = below(3) == 0 ? interesting() : below(20); // a sub-operation in most
        for (unsigned i = 1; i < 5; ++i) {
            call.a[i] = interesting();
        }
        if (call.number == __HYPERVISOR_mmu_update || call.number == __HYPERVISOR_mmuext_op) {
            call.a[0] = address_of(scratch) + below(scratch_pages * 512 - 64) * 8;
            call.a[1] = 1 + below(4);
        }
        if (!forbidden(call)) {
            return call;
        }
    }
}

/// Not through interesting pointers: what we would overwrite of ourselves is not in the list of them.
void make(const Call& call) {
    hypercall_raw(call.number, call.a[0], call.a[1], call.a[2], call.a[3], call.a[4]);
}

void make_multicall() {
    multicall_entry_t entries[8] = {};
    for (auto& entry : entries) {
        const Call call = choose();
        entry.op = call.number;
        memcpy(entry.args, call.a, sizeof(call.a));
    }
    hypercall(__HYPERVISOR_multicall, entries, 8);
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    state = command_line_number("seed", 1) * 0x9e3779b97f4a7c15 | 1;
    const uint64_t iterations = command_line_number("iters", 5'000);
    char ignored[2];
    const bool trace = command_line_value("trace", ignored, sizeof(ignored));
    scratch = static_cast<unsigned char*>(alloc_pages(scratch_pages));
    for (unsigned i = 0; i < scratch_pages; ++i) {
        scratch_mfn[i] = virt_to_mfn(scratch + i * page_size);
    }
    for (uint64_t i = 0; i < iterations; ++i) {
        if (i % 16 == 0) {
            fill_scratch();
        }
        if (below(16) == 0) {
            make_multicall();
            continue;
        }
        const Call call = choose();
        if (trace) {
            print("trace: %lu: %u(%lx, %lx, %lx, %lx, %lx)\n", i, call.number, call.a[0], call.a[1], call.a[2],
                  call.a[3], call.a[4]);
        }
        make(call);
    }
    const bool alive = xen_version(XENVER_version, nullptr) > 0;
    print("verdict: %s hypercall_fuzz\n", alive ? "PASS" : "FAIL");
    return alive ? 0 : 1;
}

} // namespace parapet::guest
