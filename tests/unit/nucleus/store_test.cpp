// SPDX-License-Identifier: Apache-2.0
// Emulated stores and their flags, against the processor that runs the test: each instruction is executed for real on
// random operands and must leave the same memory, registers and flags.
#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cstring>
#include <random>
#include <vector>

#include "hypercall-emu/core/alu.hpp"
#include "hypercall-emu/core/store.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 STATUS_FLAGS = rflags::CF | rflags::PF | rflags::AF | rflags::ZF | rflags::SF | rflags::OF;

/// Runs one instruction natively: rdi is the memory operand, rax, rcx, rdx, rbx and the flags come from State.
class Processor {
public:
    struct State {
        u64 rax, rcx, rdx, rbx, flags;
    };

    Processor()
        : page_{static_cast<u8*>(
              mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))} {}
    ~Processor() { munmap(page_, 4096); }
    Processor(const Processor&) = delete;
    Processor& operator=(const Processor&) = delete;

    [[nodiscard]] bool usable() const { return page_ != MAP_FAILED; }

    void run(const std::vector<u8>& instruction, State& state, void* memory) {
        // push rbx, rbp; rbp = state, rdi = memory; load rax, rcx, rdx, rbx and flags
        static constexpr u8 before[] = {0x53, 0x55, 0x48, 0x89, 0xfd, 0x48, 0x89, 0xf7, 0x48, 0x8b,
                                        0x45, 0x00, 0x48, 0x8b, 0x4d, 0x08, 0x48, 0x8b, 0x55, 0x10,
                                        0x48, 0x8b, 0x5d, 0x18, 0xff, 0x75, 0x20, 0x9d};
        // store flags, rax, rcx, rdx, rbx; cld; pop rbp, rbx; ret
        static constexpr u8 after[] = {0x9c, 0x8f, 0x45, 0x20, 0x48, 0x89, 0x45, 0x00, 0x48, 0x89, 0x4d, 0x08,
                                       0x48, 0x89, 0x55, 0x10, 0x48, 0x89, 0x5d, 0x18, 0xfc, 0x5d, 0x5b, 0xc3};
        u8* at = page_;
        std::memcpy(at, before, sizeof(before));
        at += sizeof(before);
        std::memcpy(at, instruction.data(), instruction.size());
        at += instruction.size();
        std::memcpy(at, after, sizeof(after));
        __builtin___clear_cache(reinterpret_cast<char*>(page_), reinterpret_cast<char*>(page_) + 4096);
        void (*call)(State*, void*) = nullptr;
        std::memcpy(&call, &page_, sizeof(call));
        call(&state, memory);
    }

private:
    u8* page_;
};

struct Case {
    const char* name;
    std::vector<u8> bytes;
    u64 undefined_flags = 0; ///< the manuals leave them open
};

/// Every form of an instruction that has a byte form: 8, 16, 32 and 64 bits, with LOCK where asked.
void add_sizes(std::vector<Case>& cases, const char* name, std::vector<u8> opcode, u8 modrm, bool lock) {
    for (const int size : {1, 2, 4, 8}) {
        std::vector<u8> bytes;
        if (lock)
            bytes.push_back(0xf0);
        if (size == 2)
            bytes.push_back(0x66);
        if (size == 8)
            bytes.push_back(0x48);
        bytes.insert(bytes.end(), opcode.begin(), opcode.end());
        if (size == 1)
            bytes.back() = static_cast<u8>(bytes.back() - 1);
        bytes.push_back(modrm);
        cases.push_back({name, bytes});
    }
}

std::vector<Case> cases() {
    std::vector<Case> all;
    constexpr u8 RAX_RDI = 0x07, RCX_RDI = 0x0f, RBX_RDI = 0x1f, AH_RDI = 0x27;
    for (const u8 operation : std::vector<u8>{0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31}) // add ... xor
        add_sizes(all, "alu", {operation}, RCX_RDI, operation == 0x21);
    all.push_back({"add %ah", {0x00, AH_RDI}});
    add_sizes(all, "mov", {0x89}, RBX_RDI, false);
    add_sizes(all, "xchg", {0x87}, RCX_RDI, false);
    all.push_back({"xchg %ah", {0x86, AH_RDI}});
    add_sizes(all, "cmpxchg", {0x0f, 0xb1}, RBX_RDI, true);
    add_sizes(all, "xadd", {0x0f, 0xc1}, RCX_RDI, true);
    add_sizes(all, "inc", {0xff}, 0x07, true);
    add_sizes(all, "dec", {0xff}, 0x0f, false);
    add_sizes(all, "not", {0xf7}, 0x17, false);
    add_sizes(all, "neg", {0xf7}, 0x1f, false);
    for (u8 operation = 0; operation < 7; operation++) { // group 1 with immediates
        const auto modrm = static_cast<u8>(operation << 3 | 7);
        all.push_back({"imm8", {0x80, modrm, 0x9c}});
        all.push_back({"imm8 to 64", {0x48, 0x83, modrm, 0x9c}});
        all.push_back({"imm8 to 16", {0x66, 0x83, modrm, 0x7f}});
        all.push_back({"imm32 to 64", {0xf0, 0x48, 0x81, modrm, 0x01, 0x02, 0x03, 0x84}});
        all.push_back({"imm16", {0x66, 0x81, modrm, 0x01, 0x82}});
    }
    all.push_back({"mov imm", {0xc6, 0x07, 0x55}});
    all.push_back({"mov imm", {0x66, 0xc7, 0x07, 0x55, 0xaa}});
    all.push_back({"mov imm", {0x48, 0xc7, 0x07, 0x55, 0xaa, 0x00, 0x80}});
    all.push_back({"movnti", {0x48, 0x0f, 0xc3, 0x07}});
    all.push_back({"movnti", {0x0f, 0xc3, 0x07}});
    all.push_back({"cmpxchg8b", {0xf0, 0x0f, 0xc7, 0x0f}});
    constexpr u64 bit_leaves = rflags::OF | rflags::SF | rflags::AF | rflags::PF;
    for (const u8 operation : std::vector<u8>{0xab, 0xb3, 0xbb}) {
        all.push_back({"bit %rcx", {0xf0, 0x48, 0x0f, operation, RCX_RDI}, bit_leaves});
        all.push_back({"bit %ecx", {0x0f, operation, RCX_RDI}, bit_leaves});
        all.push_back({"bit %cx", {0x66, 0x0f, operation, RCX_RDI}, bit_leaves});
    }
    for (const u8 modrm : std::vector<u8>{0x2f, 0x37, 0x3f})
        for (const u8 bit : std::vector<u8>{0, 1, 6, 31, 63, 200}) {
            all.push_back({"bit imm", {0x48, 0x0f, 0xba, modrm, bit}, bit_leaves});
            all.push_back({"bit imm", {0x0f, 0xba, modrm, bit}, bit_leaves});
        }
    (void)RAX_RDI;
    return all;
}

constexpr size_t WORDS = 16;
constexpr size_t MIDDLE = WORDS / 2; ///< bit operations reach out to both sides

u64 interesting(std::mt19937_64& random) {
    constexpr u64 edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, ~0ULL, 1ULL << 63};
    return random() % 3 == 0 ? edges[random() % std::size(edges)] : random();
}

void compare_once(Processor& processor, const Case& test, std::mt19937_64& random) {
    u64 native[WORDS];
    for (u64& word : native)
        word = interesting(random);
    u64 emulated[WORDS];
    std::memcpy(emulated, native, sizeof(native));

    Processor::State state{interesting(random), interesting(random), interesting(random), interesting(random),
                           (random() & STATUS_FLAGS) | rflags::FIXED | rflags::IF};
    if (std::strncmp(test.name, "bit", 3) == 0)
        state.rcx = random() % 800 - 400; // stay within the array
    if (random() % 2 == 0) {              // let the comparisons succeed
        state.rax = native[MIDDLE];
        if (test.name == std::string{"cmpxchg8b"})
            state.rdx = native[MIDDLE] >> 32;
    }
    Regs regs{};
    regs.rax = state.rax;
    regs.rcx = state.rcx;
    regs.rdx = state.rdx;
    regs.rbx = state.rbx;
    regs.rdi = reinterpret_cast<u64>(&emulated[MIDDLE]);
    regs.rflags = state.flags;

    processor.run(test.bytes, state, &native[MIDDLE]);

    Instruction insn;
    ASSERT_EQ(decode(test.bytes.data(), static_cast<unsigned>(test.bytes.size()), regs, nullptr, insn), Decoding::ok)
        << test.name;
    StoreTarget target{};
    ASSERT_TRUE(store_target(insn, regs, target)) << test.name;
    auto* operand = reinterpret_cast<u8*>(target.address);
    ASSERT_GE(operand, reinterpret_cast<u8*>(emulated)) << test.name;
    ASSERT_LE(operand + target.size, reinterpret_cast<u8*>(emulated + WORDS)) << test.name;
    u64 old = 0;
    std::memcpy(&old, operand, target.size);
    const StoreEffect effect = execute_store(insn, target, old, 0, regs);
    std::memcpy(operand, &effect.value, target.size);

    EXPECT_EQ(std::memcmp(native, emulated, sizeof(native)), 0) << test.name << " size " << target.size;
    EXPECT_EQ(regs.rax, state.rax) << test.name;
    EXPECT_EQ(regs.rcx, state.rcx) << test.name;
    EXPECT_EQ(regs.rdx, state.rdx) << test.name;
    EXPECT_EQ(regs.rbx, state.rbx) << test.name;
    const u64 defined = STATUS_FLAGS & ~test.undefined_flags;
    EXPECT_EQ(regs.rflags & defined, state.flags & defined) << test.name << " size " << target.size;
}

TEST(Store, AgreesWithTheProcessor) {
    Processor processor;
    if (!processor.usable())
        GTEST_SKIP() << "this system gives no writable and executable memory";
    std::mt19937_64 random{7};
    for (const Case& test : cases()) {
        for (unsigned round = 0; round < 500; round++) {
            compare_once(processor, test, random);
            if (HasFailure())
                return;
        }
    }
}

/// Instructions that read only, or are none of ours, must not be taken for stores.
TEST(Store, RefusesWhatDoesNotWriteMemory) {
    const std::vector<std::vector<u8>> others = {
        {0x48, 0x39, 0x07},             // cmp %rax,(%rdi)
        {0x48, 0x83, 0x3f, 0x01},       // cmp $1,(%rdi)
        {0x48, 0x8b, 0x07},             // mov (%rdi),%rax
        {0x48, 0x03, 0x07},             // add (%rdi),%rax
        {0x48, 0x89, 0xc8},             // mov %rcx,%rax
        {0x48, 0x85, 0x07},             // test %rax,(%rdi)
        {0x48, 0x0f, 0xba, 0x27, 0x01}, // bt $1,(%rdi)
        {0x48, 0x0f, 0xc7, 0x0f},       // cmpxchg16b (%rdi)
        {0xff, 0x37},                   // push (%rdi)
        {0xff, 0x27},                   // jmp *(%rdi)
        {0xc1, 0x27, 0x03},             // shl $3,(%rdi): not emulated
        {0x05, 1, 0, 0, 0},             // add $1,%eax
        {0x04, 1},                      // add $1,%al
        {0x0f, 0x11, 0x07},             // movups %xmm0,(%rdi)
        {0x64, 0xaa},                   // stos has no override, but this decoder need not know
    };
    Regs regs{};
    for (const std::vector<u8>& bytes : others) {
        Instruction insn;
        StoreTarget target{};
        ASSERT_EQ(decode(bytes.data(), static_cast<unsigned>(bytes.size()), regs, nullptr, insn), Decoding::ok);
        EXPECT_FALSE(store_target(insn, regs, target)) << unsigned{bytes[0]} << " " << unsigned{bytes[1]};
    }
}

} // namespace
} // namespace parapet::nucleus::test
