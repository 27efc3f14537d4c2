// SPDX-License-Identifier: Apache-2.0
// Floating-point and vector state across context switches: several processes keep values of their own in every register
// that the processor offers (x87, SSE, AVX, AVX-512), with control words of their own, while they yield, spin until
// they are preempted and take signals whose handler uses the same registers. `vector_state SECONDS`; exit status 1:
// lost.
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

enum class Width : unsigned { sse, avx, avx512 };

Width width_of_processor() {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
        return Width::avx512;
    }
    return __builtin_cpu_supports("avx") ? Width::avx : Width::sse;
}

constexpr const char* names[] = {"SSE", "AVX", "AVX-512"};

/// As much as any width needs: 32 registers of 64 bytes, eight masks.
struct alignas(64) Registers {
    std::uint8_t vector[32][64];
    std::uint64_t mask[8];
    double x87[8];
    std::uint32_t mxcsr;
    std::uint16_t x87_control;
};

std::uint64_t next(std::uint64_t& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

Registers pattern(std::uint64_t& state) {
    Registers made{};
    for (auto& one : made.vector) {
        for (auto& byte : one) {
            byte = static_cast<std::uint8_t>(next(state) >> 24);
        }
    }
    for (auto& one : made.mask) {
        one = next(state);
    }
    for (auto& one : made.x87) {
        one = static_cast<double>(next(state) >> 12);
    }
    made.mxcsr = 0x1f80U | static_cast<std::uint32_t>(next(state) & 3) << 13;
    made.x87_control = static_cast<std::uint16_t>(0x037f | (next(state) & 3) << 10);
    return made;
}

#define EACH16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define EACH32(X)                                                                                                      \
    EACH16(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define EACH_MASK(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define LOAD_XMM(n) "movups 64*" #n "(%[from]), %%xmm" #n "\n\t"
#define SAVE_XMM(n) "movups %%xmm" #n ", 64*" #n "(%[to])\n\t"
#define LOAD_YMM(n) "vmovups 64*" #n "(%[from]), %%ymm" #n "\n\t"
#define SAVE_YMM(n) "vmovups %%ymm" #n ", 64*" #n "(%[to])\n\t"
#define LOAD_ZMM(n) "vmovups 64*" #n "(%[from]), %%zmm" #n "\n\t"
#define SAVE_ZMM(n) "vmovups %%zmm" #n ", 64*" #n "(%[to])\n\t"
#define LOAD_K(n) "kmovq 2048+8*" #n "(%[from]), %%k" #n "\n\t"
#define SAVE_K(n) "kmovq %%k" #n ", 2048+8*" #n "(%[to])\n\t"
// 2112: x87, 2176: mxcsr, 2180: x87_control
static_assert(offsetof(Registers, mask) == 2048 && offsetof(Registers, x87) == 2112 &&
              offsetof(Registers, mxcsr) == 2176 && offsetof(Registers, x87_control) == 2180);
#define LOAD_REST                                                                                                      \
    "fninit\n\tfldcw 2180(%[from])\n\tldmxcsr 2176(%[from])\n\t"                                                       \
    "fldl 2112(%[from])\n\tfldl 2120(%[from])\n\tfldl 2128(%[from])\n\tfldl 2136(%[from])\n\t"                         \
    "fldl 2144(%[from])\n\tfldl 2152(%[from])\n\tfldl 2160(%[from])\n\tfldl 2168(%[from])\n\t"
#define SAVE_REST                                                                                                      \
    "stmxcsr 2176(%[to])\n\tfnstcw 2180(%[to])\n\t"                                                                    \
    "fstpl 2168(%[to])\n\tfstpl 2160(%[to])\n\tfstpl 2152(%[to])\n\tfstpl 2144(%[to])\n\t"                             \
    "fstpl 2136(%[to])\n\tfstpl 2128(%[to])\n\tfstpl 2120(%[to])\n\tfstpl 2112(%[to])\n\t"                             \
    "fninit\n\tldmxcsr %[plain]\n\t"
// Yields `yields` times (sched_yield is 24), then spins `spins` rounds, the registers full all the while.
#define HOLD                                                                                                           \
    "mov %[yields], %%r8\n"                                                                                            \
    "1:\n\ttest %%r8, %%r8\n\tjz 2f\n\tmov $24, %%eax\n\tsyscall\n\tdec %%r8\n\tjmp 1b\n"                              \
    "2:\n\tmov %[spins], %%r8\n"                                                                                       \
    "3:\n\ttest %%r8, %%r8\n\tjz 4f\n\tdec %%r8\n\tjmp 3b\n"                                                           \
    "4:\n\t"
#define HOLD_OPERANDS                                                                                                  \
    : : [from] "r"(&from), [to] "r"(&to), [yields] "r"(yields), [spins] "r"(spins), [plain] "m"(plain)               \
    : "rax", "rcx", "r11", "r8", "cc", "memory"

void hold(Width width, const Registers& from, Registers& to, std::uint64_t yields, std::uint64_t spins) {
    static const std::uint32_t plain = 0x1f80;
    switch (width) {
    case Width::sse:
        asm volatile(EACH16(LOAD_XMM) LOAD_REST HOLD EACH16(SAVE_XMM) SAVE_REST HOLD_OPERANDS);
        break;
    case Width::avx:
        asm volatile(EACH16(LOAD_YMM) LOAD_REST HOLD EACH16(SAVE_YMM) SAVE_REST "vzeroupper\n\t" HOLD_OPERANDS);
        break;
    case Width::avx512:
        asm volatile(EACH32(LOAD_ZMM) EACH_MASK(LOAD_K) LOAD_REST HOLD EACH32(SAVE_ZMM) EACH_MASK(SAVE_K) SAVE_REST
                     "vzeroupper\n\t" HOLD_OPERANDS);
        break;
    }
}

Width handler_width;
volatile std::sig_atomic_t signals_taken;

/// Fills every register with something else, as any handler may.
void on_signal(int) {
    std::uint64_t state = 0x9e3779b97f4a7c15;
    const Registers from = pattern(state);
    Registers to{};
    hold(handler_width, from, to, 0, 0);
    signals_taken = signals_taken + 1;
}

/// The registers' bytes that this width has are equal?
bool same(Width width, const Registers& a, const Registers& b) {
    const unsigned count = width == Width::avx512 ? 32 : 16;
    const unsigned bytes = width == Width::avx512 ? 64 : width == Width::avx ? 32 : 16;
    for (unsigned i = 0; i < count; i++) {
        if (std::memcmp(a.vector[i], b.vector[i], bytes) != 0) {
            std::printf("vectors: register %u of %s is lost\n", i, names[static_cast<unsigned>(width)]);
            return false;
        }
    }
    if (width == Width::avx512 && std::memcmp(a.mask + 1, b.mask + 1, 7 * sizeof(a.mask[0])) != 0) {
        std::printf("vectors: mask registers are lost\n");
        return false;
    }
    if (std::memcmp(a.x87, b.x87, sizeof(a.x87)) != 0 || a.x87_control != b.x87_control) {
        std::printf("vectors: x87 is lost (control word %x, was %x)\n", b.x87_control, a.x87_control);
        return false;
    }
    if ((a.mxcsr & 0xffc0U) != (b.mxcsr & 0xffc0U)) {
        std::printf("vectors: MXCSR is %x, was %x\n", b.mxcsr, a.mxcsr);
        return false;
    }
    return true;
}

int process(unsigned number, Width width, double seconds) {
    using Clock = std::chrono::steady_clock;
    handler_width = width;
    std::signal(SIGALRM, on_signal);
    const itimerval every{{0, 3000}, {0, 3000}};
    setitimer(ITIMER_REAL, &every, nullptr);
    std::uint64_t state = 0x1234567 + number * 0x9e3779b9ULL;
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    unsigned rounds = 0;
    while (Clock::now() < end) {
        const Registers from = pattern(state);
        Registers to{};
        hold(width, from, to, rounds % 4, rounds % 5 == 0 ? 3'000'000 : 2000);
        if (!same(width, from, to)) {
            std::printf("vectors: process %u, round %u, %d signals\n", number, rounds, static_cast<int>(signals_taken));
            return 1;
        }
        rounds++;
    }
    return signals_taken == 0 ? 2 : 0;
}

} // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 3;
    const Width best = width_of_processor();
    std::printf("vectors: up to %s\n", names[static_cast<unsigned>(best)]);
    std::fflush(stdout);
    constexpr unsigned processes = 6;
    std::array<pid_t, processes> pids{};
    for (unsigned i = 0; i < processes; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            // Widths are mixed: who uses less must not lose others' more.
            const auto width = i % 3 == 2 ? Width::sse : i % 3 == 1 && best != Width::sse ? Width::avx : best;
            const int status = process(i, width, seconds);
            std::fflush(stdout);
            _exit(status);
        }
    }
    unsigned failed = 0;
    for (const pid_t pid : pids) {
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            std::printf("vectors: a process ended with %x\n", static_cast<unsigned>(status));
            failed++;
        }
    }
    std::printf("vectors: %u processes, %u failed\n", processes, failed);
    return failed == 0 ? 0 : 1;
}
