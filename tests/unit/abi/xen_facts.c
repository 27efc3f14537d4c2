// SPDX-License-Identifier: Apache-2.0
// Xen's side of the comparison: the tables' facts as its own headers state them, one array per section.
//
// Compiled for x86-64 and for i386 to an object that nothing links; CMakeLists.txt takes the sections out of it. So the
// 32-bit facts come from a 32-bit compiler, and no 32-bit C library is needed.
#include "xen_public.h"

#define OUTPUT(section_name) __attribute__((section(section_name), used)) const

#ifdef __i386__
#define IF64(...)
#define IF32(...) __VA_ARGS__
#else
#define IF64(...) __VA_ARGS__
#define IF32(...)
#endif

// Layouts: {size, offset, is signed} of each structure and field, in the table's order.

#define WIDE(kind, name) typedef kind name fact_##name;
#define PLAIN(kind, name) typedef kind name fact_##name;
#define PLAIN64(kind, name, ours) IF64(typedef kind name fact_##name;)
#define PLAIN32(kind, name, ours) IF32(typedef kind name fact_##name;)
#define FIELD(name, field)
#define FIELD64(name, field)
#define FIELD32(name, field)
#include "layout.def"
#undef WIDE
#undef PLAIN
#undef PLAIN64
#undef PLAIN32
#undef FIELD
#undef FIELD64
#undef FIELD32

#define MEMBER(name, field) (((fact_##name*)0)->field)
#define IS_SIGNED(x) _Generic((x), signed char : 1, short : 1, int : 1, long : 1, long long : 1, default : 0)
#define WIDE(kind, name) {sizeof(fact_##name), 0, 0},
#define PLAIN(kind, name) {sizeof(fact_##name), 0, 0},
#define PLAIN64(kind, name, ours) IF64({sizeof(fact_##name), 0, 0}, )
#define PLAIN32(kind, name, ours) IF32({sizeof(fact_##name), 0, 0}, )
#define FIELD(name, field) {sizeof(MEMBER(name, field)), offsetof(fact_##name, field), IS_SIGNED(MEMBER(name, field))},
#define FIELD64(name, field) IF64(FIELD(name, field))
#define FIELD32(name, field) IF32(FIELD(name, field))
OUTPUT(".abi_layout") uint32_t abi_layout[][3] = {
#include "layout.def"
};

#define CONSTANT(name) (int64_t)(name),
#define CONSTANT_AS(name, ours) (int64_t)(name),
#define ONLY64(name, ours) IF64((int64_t)(name), )
#define ONLY32(name, ours) IF32((int64_t)(name), )
OUTPUT(".abi_constants") int64_t abi_constants[] = {
#include "constants.def"
};

// The forced-emulation prefix is stated as assembly, so assemble it.
__asm__(".pushsection .abi_prefix, \"a\"\n" XEN_EMULATE_PREFIX "\n.popsection");
