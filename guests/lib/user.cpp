// SPDX-License-Identifier: Apache-2.0
#include <initializer_list>

#include "guests/lib/user.hpp"

#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"

extern "C" uint64_t user_enter(uint64_t rip, uint64_t rsp, uint64_t rdi, uint64_t rsi);
extern "C" uint64_t user_enter32(uint64_t rip, uint64_t rsp, uint64_t rdi, uint64_t rsi);
extern "C" [[noreturn]] void user_leave_stub(uint64_t result);

namespace parapet::guest {

namespace {

constexpr unsigned kernel_stack_pages = 4;
constexpr uint64_t user_ro = pte_present | pte_user | pte_accessed;
constexpr uint64_t user_rw = user_ro | pte_write | pte_dirty | pte_nx;

unsigned char* code = nullptr;
unsigned char* data = nullptr;
uint64_t* level3 = nullptr;
uint64_t root_mfn = 0;

/// A table with one entry for `va` at `level`, read-only from then on.
uint64_t* make_table(uint64_t va, unsigned level, uint64_t entry) {
    auto* table = static_cast<uint64_t*>(alloc_page());
    table[table_index(va, level)] = entry;
    return table;
}

uint64_t table_entry(const void* table) {
    return make_pte(virt_to_mfn(table), table_flags);
}

} // namespace

uint64_t user_root_mfn() {
    return root_mfn;
}

void* user_data_page() {
    return data;
}

void* user_code_page() {
    return code;
}

uint64_t make_user_root() {
    uint64_t* root = make_table(user_code, 4, table_entry(level3));
    if (set_read_only(root) != 0 || mmuext_mfn(MMUEXT_PIN_L4_TABLE, virt_to_mfn(root)) != 0) {
        return 0;
    }
    return virt_to_mfn(root);
}

long user_init() {
    code = static_cast<unsigned char*>(alloc_page());
    data = static_cast<unsigned char*>(alloc_page());
    uint64_t* level1 = make_table(user_code, 1, make_pte(virt_to_mfn(code), user_ro));
    level1[table_index(user_data, 1)] = make_pte(virt_to_mfn(data), user_rw);
    uint64_t* level2 = make_table(user_code, 2, table_entry(level1));
    level3 = make_table(user_code, 3, table_entry(level2));
    for (void* table : {level1, level2, level3}) {
        if (const long error = set_read_only(table); error != 0) {
            return error;
        }
    }
    root_mfn = make_user_root();
    if (root_mfn == 0) {
        return -XEN_EINVAL;
    }
    if (const long error = mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, root_mfn); error != 0) {
        return error;
    }
    if (const long error = write_entry(entry_machine_address(user_code, 4), table_entry(level3)); error != 0) {
        return error;
    }
    const uint64_t stack = address_of(alloc_pages(kernel_stack_pages)) + kernel_stack_pages * page_size;
    if (const long error = hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, stack); error != 0) {
        return error;
    }
    callback_register request{CALLBACKTYPE_syscall, 0, address_of(user_syscall_entry)};
    return hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request);
}

uint64_t user_call(const char* begin, const char* end, uint64_t rdi, uint64_t rsi) {
    memcpy(code, begin, static_cast<size_t>(end - begin));
    return user_enter(user_code, user_stack_top, rdi, rsi);
}

uint64_t user_call32(const char* begin, const char* end, uint64_t edi, uint64_t esi) {
    memcpy(code, begin, static_cast<size_t>(end - begin));
    return user_enter32(user_code, user_stack_top, edi, esi);
}

void user_leave(uint64_t result) {
    user_leave_stub(result);
}

} // namespace parapet::guest
