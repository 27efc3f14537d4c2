// SPDX-License-Identifier: Apache-2.0
#include "vmm/crash_report.hpp"

#include "vmm/names.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace parapet::vmm {

namespace {

[[gnu::format(printf, 2, 3)]] void append(std::string& text, const char* format, ...) {
    std::array<char, 512> line{};
    va_list arguments;
    va_start(arguments, format);
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    text.append(line.data(), static_cast<std::size_t>(std::clamp(length, 0, static_cast<int>(line.size()) - 1)));
}

using ull = unsigned long long;

void append_registers(std::string& text, const doorbell::CrashRegs& r) {
    append(text, "  rip %016llx  cs  %04llx  rflags %08llx\n  rsp %016llx  ss  %04llx\n", static_cast<ull>(r.rip),
           static_cast<ull>(r.cs & 0xffff), static_cast<ull>(r.rflags), static_cast<ull>(r.rsp),
           static_cast<ull>(r.ss & 0xffff));
    const struct {
        const char* name;
        std::uint64_t value;
    } list[] = {{"rax", r.rax}, {"rbx", r.rbx}, {"rcx", r.rcx}, {"rdx", r.rdx}, {"rsi", r.rsi},
                {"rdi", r.rdi}, {"rbp", r.rbp}, {"r8 ", r.r8},  {"r9 ", r.r9},  {"r10", r.r10},
                {"r11", r.r11}, {"r12", r.r12}, {"r13", r.r13}, {"r14", r.r14}, {"r15", r.r15}};
    int column = 0;
    for (const auto& entry : list) {
        append(text, "  %s %016llx%s", entry.name, static_cast<ull>(entry.value), ++column % 3 == 0 ? "\n" : "");
    }
}

} // namespace

std::string format_crash(const doorbell::CrashReport& report, bool nucleus_bug) {
    std::string text;
    const std::size_t length = strnlen(report.reason, sizeof(report.reason));
    append(text, "---- %s: %.*s ----\n", nucleus_bug ? "bug in the nucleus" : "the guest crashed",
           static_cast<int>(length), report.reason);
    append(text, "  vCPU %u, guest %s mode, entered by %s (vector %llu, error %llx), cr2 %016llx\n", report.vcpu,
           report.guest_kernel_mode != 0 ? "kernel" : "user", exception_name(report.regs.vector),
           static_cast<ull>(report.regs.vector), static_cast<ull>(report.regs.error), static_cast<ull>(report.cr2));
    append_registers(text, report.regs);
    append(text, "  kernel root %llx, user root %llx\n", static_cast<ull>(report.kernel_root),
           static_cast<ull>(report.user_root));
    append(text, "  page walk of %016llx:", static_cast<ull>(report.walk_va));
    const std::uint64_t levels = std::min<std::uint64_t>(report.walk_levels, 4);
    for (std::uint64_t i = 0; i < levels; i++) {
        append(text, " L%llu %llx", static_cast<ull>(4 - i), static_cast<ull>(report.walk[i]));
    }
    text += levels == 0 ? " not a guest address\n" : "\n";
    text += "  code:";
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(report.nr_code, sizeof(report.code)); i++) {
        append(text, " %02x", report.code[i]);
    }
    text += "\n  stack:\n";
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(report.nr_stack, 32); i++) {
        append(text, "%s%016llx%s", i % 4 == 0 ? "    " : " ", static_cast<ull>(report.stack[i]),
               i % 4 == 3 ? "\n" : "");
    }
    text += "  last hypercalls, latest last:\n";
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(report.nr_calls, 16); i++) {
        const doorbell::CrashCall& call = report.calls[i];
        append(text, "    %s(%llx, %llx, %llx, %llx) = %lld at %016llx\n", hypercall_name(call.number),
               static_cast<ull>(call.argument[0]), static_cast<ull>(call.argument[1]),
               static_cast<ull>(call.argument[2]), static_cast<ull>(call.argument[3]),
               static_cast<long long>(call.result), static_cast<ull>(call.rip));
    }
    return text;
}

} // namespace parapet::vmm
