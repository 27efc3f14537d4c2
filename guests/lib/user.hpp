// SPDX-License-Identifier: Apache-2.0
// A user mode to run small pieces of position-independent code in: a root of its own with one code page, one data page
// and nothing else, which the kernel's root shows too (slot 0).
#pragma once

#include <cstddef>
#include <cstdint>

namespace parapet::guest {

inline constexpr uint64_t user_code = 0x400000;
inline constexpr uint64_t user_data = 0x401000;
inline constexpr uint64_t user_stack_top = user_data + 4096;
/// Never mapped, in the same table as the code.
inline constexpr uint64_t user_hole = 0x500000;

/// Builds and loads the user root, the kernel stack and the system call entry. 0 or -errno.
long user_init();

[[nodiscard]] uint64_t user_root_mfn();
/// The kernel's view of the data page and of the code page.
[[nodiscard]] void* user_data_page();
[[nodiscard]] void* user_code_page();
/// A further user root with the same contents, pinned; its frame, or 0.
[[nodiscard]] uint64_t make_user_root();

/// Copies [begin, end) to the code page and runs it in user mode with rdi and rsi given, events unmasked. The code ends
/// with `syscall` and a negative rax: the result is then its rdi. Other system calls return at once.
uint64_t user_call(const char* begin, const char* end, uint64_t rdi, uint64_t rsi = 0);

/// The same in compatibility code, with edi and esi. It has no way back of its own: a trap handler ends it.
uint64_t user_call32(const char* begin, const char* end, uint64_t edi, uint64_t esi = 0);

/// For trap handlers: abandons the user code; user_call() returns `result`.
[[noreturn]] void user_leave(uint64_t result);

} // namespace parapet::guest

extern "C" {
extern char user_syscall_entry[];
/// The flags that user mode starts with; IF where nobody changed them.
extern uint64_t user_rflags;
}
