// SPDX-License-Identifier: Apache-2.0
// Our side of the comparison: the tables' facts as pv-abi/ states them. Compiled once for each PARAPET_ABI_BITS.
#include "tests/unit/abi/facts.hpp"

#include "pv-abi/arch.hpp"
#include "pv-abi/blkif.hpp"
#include "pv-abi/callback.hpp"
#include "pv-abi/console.hpp"
#include "pv-abi/cpuid.hpp"
#include "pv-abi/elfnote.hpp"
#include "pv-abi/errno.hpp"
#include "pv-abi/event_channel.hpp"
#include "pv-abi/grant_table.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/memory.hpp"
#include "pv-abi/mmu.hpp"
#include "pv-abi/multicall.hpp"
#include "pv-abi/netif.hpp"
#include "pv-abi/physdev.hpp"
#include "pv-abi/sched.hpp"
#include "pv-abi/shared_info.hpp"
#include "pv-abi/start_info.hpp"
#include "pv-abi/trap.hpp"
#include "pv-abi/vcpu.hpp"
#include "pv-abi/vcpu_context.hpp"
#include "pv-abi/version.hpp"
#include "pv-abi/vm_assist.hpp"
#include "pv-abi/xenstore.hpp"

#include <cstddef>
#include <type_traits>

namespace parapet::abi_test {

#if PARAPET_ABI_BITS == 64
using Word = uint64_t;
#define IF64(...) __VA_ARGS__
#define IF32(...)
#else
using Word = uint32_t;
#define IF64(...)
#define IF32(...) __VA_ARGS__
#endif

namespace {

using namespace parapet::abi; // NOLINT(google-build-using-namespace): the tables name constants without it

#define WIDE(kind, name) using fact_##name = abi::name##_t<Word>;
#define PLAIN(kind, name) using fact_##name = abi::name;
#define PLAIN64(kind, name, ours) IF64(using fact_##name = abi::ours;)
#define PLAIN32(kind, name, ours) IF32(using fact_##name = abi::ours;)
#define FIELD(name, field)
#define FIELD64(name, field)
#define FIELD32(name, field)
#include "tests/unit/abi/layout.def"
#undef WIDE
#undef PLAIN
#undef PLAIN64
#undef PLAIN32
#undef FIELD
#undef FIELD64
#undef FIELD32

template <typename Member>
constexpr bool is_signed_number =
    std::is_integral_v<Member>&& std::is_signed_v<Member> && !std::is_same_v<Member, char>;

} // namespace

template <>
std::vector<LayoutFact> our_layout<PARAPET_ABI_BITS>() {
#define MEMBER(name, field) static_cast<fact_##name*>(nullptr)->field
#define WIDE(kind, name) {#name, sizeof(fact_##name), 0, 0},
#define PLAIN(kind, name) {#name, sizeof(fact_##name), 0, 0},
#define PLAIN64(kind, name, ours) IF64({#name, sizeof(fact_##name), 0, 0}, )
#define PLAIN32(kind, name, ours) IF32({#name, sizeof(fact_##name), 0, 0}, )
#define FIELD(name, field)                                                                                             \
    {#name "." #field, sizeof(MEMBER(name, field)), offsetof(fact_##name, field),                                      \
     is_signed_number<std::remove_reference_t<decltype((MEMBER(name, field)))>>},
#define FIELD64(name, field) IF64(FIELD(name, field))
#define FIELD32(name, field) IF32(FIELD(name, field))
    return {
#include "tests/unit/abi/layout.def"
    };
}

template <>
std::vector<ConstantFact> our_constants<PARAPET_ABI_BITS>() {
#define CONSTANT(name) {#name, static_cast<int64_t>(name)},
#define CONSTANT_AS(name, ours) {#name, static_cast<int64_t>(ours)},
#define ONLY64(name, ours) IF64({#name, static_cast<int64_t>(ours)}, )
#define ONLY32(name, ours) IF32({#name, static_cast<int64_t>(ours)}, )
    return {
#include "tests/unit/abi/constants.def"
    };
}

} // namespace parapet::abi_test
