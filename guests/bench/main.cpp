// SPDX-License-Identifier: Apache-2.0
// Measures what a PV kernel asks of its hypervisor, on Parapet and on Xen alike. Command line:
//   only=NAME[+NAME…]  only these operations        iters=N    exactly N times instead of by time
//   target_ms=N        time per operation (300)     list       print the names
//   mode=step          each operation once (or iters times) to warm up, then again between markers (see marker.hpp)
// One line each:  bench: <name> iters=<n> tsc=<ticks in all> ns=<per operation> [ns_part=<per entry>]
#include "guests/bench/marker.hpp"
#include "guests/bench/operation.hpp"
#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace bench {

namespace {

// user_group makes what root_group needs; basic's stack_switch is undone by user_group's preparation.
constexpr const Group* groups[] = {&basic_group, &user_group, &memory_group, &root_group, &event_group};

struct Options {
    char only[256] = "";
    bool step = false;
    bool list = false;
    uint64_t iterations = 0;
    uint64_t target_ms = 300;
};

Options read_options() {
    Options options;
    char mode[16] = "";
    char ignored[2];
    command_line_value("mode", mode, sizeof(mode));
    if (!command_line_value("only", options.only, sizeof(options.only))) {
        command_line_value("op", options.only, sizeof(options.only));
    }
    options.step = strcmp(mode, "step") == 0;
    options.list = command_line_value("list", ignored, sizeof(ignored));
    options.iterations = command_line_number("iters", 0);
    options.target_ms = command_line_number("target_ms", options.target_ms);
    return options;
}

bool ends_name(char c) {
    return c == 0 || c == '+' || c == ','; // QEMU takes commas in a multiboot module's arguments for itself
}

/// Whether `name` is one of the names, or there are none.
bool wanted(const char* names, const char* name) {
    if (names[0] == 0) {
        return true;
    }
    const size_t length = strlen(name);
    for (const char* at = names; *at != 0;) {
        if (strncmp(at, name, length) == 0 && ends_name(at[length])) {
            return true;
        }
        while (*at != 0 && !ends_name(*at++)) {
        }
    }
    return false;
}

uint64_t clamp(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

/// How often to run to fill the target time: doubled until a tenth of it is reached, then scaled.
uint64_t choose_count(const Operation& operation, const Options& options) {
    if (options.iterations != 0) {
        return options.iterations;
    }
    const uint64_t target_ns = options.target_ms * 1'000'000;
    for (uint64_t count = 1;; count *= 2) {
        const uint64_t begin = now_ns();
        if (operation.run(count) == failed) {
            return 1;
        }
        const uint64_t took = now_ns() - begin;
        if (took * 10 >= target_ns || count >= operation.limit) {
            return clamp(count * target_ns / (took == 0 ? 1 : took), 1, operation.limit);
        }
    }
}

void print_result(const Operation& operation, uint64_t count, uint64_t ticks) {
    const uint64_t tenths = tsc_to_ns(ticks) * 10 / count;
    print("bench: %s iters=%lu tsc=%lu ns=%lu.%lu", operation.name, count, ticks, tenths / 10, tenths % 10);
    if (operation.parts > 1) {
        const uint64_t part = tenths / operation.parts;
        print(" ns_part=%lu.%lu", part / 10, part % 10);
    }
    print("\n");
}

bool measure(const Operation& operation, const Options& options) {
    const uint64_t count = choose_count(operation, options);
    const uint64_t ticks = operation.run(count);
    if (ticks == failed) {
        print("bench: %s error=failed\n", operation.name);
        return false;
    }
    print_result(operation, count, ticks);
    return true;
}

bool step(const Operation& operation, const Options& options) {
    const uint64_t count = options.iterations != 0 ? options.iterations : 1;
    operation.run(count);
    marker_begin(operation.name);
    const uint64_t ticks = operation.run(count);
    marker_end(operation.name);
    print("bench: %s iters=%lu tsc=%lu stepped\n", operation.name, count, ticks);
    return ticks != failed;
}

unsigned run_group(const Group& group, const Options& options) {
    const long error = group.prepare == nullptr || options.list ? 0 : group.prepare();
    unsigned failures = 0;
    for (unsigned i = 0; i < group.count; ++i) {
        const Operation& operation = group.operations[i];
        if (!wanted(options.only, operation.name)) {
            continue;
        }
        if (options.list) {
            print("bench: %s\n", operation.name);
        } else if (error != 0) {
            print("bench: %s error=%ld\n", operation.name, error);
            ++failures;
        } else if (!(options.step ? step(operation, options) : measure(operation, options))) {
            ++failures;
        }
    }
    return failures;
}

} // namespace

} // namespace bench

int guest_main() {
    const bench::Options options = bench::read_options();
    // As Linux does: else a tick every 10 ms is measured with the rest, and when single-stepping nothing else ever is.
    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    print("bench: begin tsc_hz=%lu\n", tsc_hertz());
    unsigned failures = 0;
    for (const bench::Group* group : bench::groups) {
        failures += bench::run_group(*group, options);
    }
    print("bench: end failures=%u\n", failures);
    return failures == 0 ? 0 : 1;
}

} // namespace parapet::guest
