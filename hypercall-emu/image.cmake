# SPDX-License-Identifier: Apache-2.0
# parapet_add_nucleus(HOME SOURCES...): links the core and one home into the flat image nucleus-HOME.bin.
# Plain x86-64 with general registers only: the code must run where ring 0 is interpreted (docs/architecture.md).
set(NUCLEUS_COMPILE_OPTIONS -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-exceptions -fno-rtti
  -fno-stack-protector -fcf-protection=none -fpie -fvisibility=hidden -fno-asynchronous-unwind-tables
  -fno-threadsafe-statics -fno-tree-loop-distribute-patterns -O2 -g -fno-omit-frame-pointer
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  list(REMOVE_ITEM NUCLEUS_COMPILE_OPTIONS -fno-tree-loop-distribute-patterns)
  list(APPEND NUCLEUS_COMPILE_OPTIONS -fno-builtin)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # The core is many small files and its hot paths run through ten of them: a batch of mmu_update takes half the time in
  # the rig, where each return is looked up. Clang would need another linker.
  list(APPEND NUCLEUS_COMPILE_OPTIONS -flto -flto-partition=one)
endif()

function(parapet_add_nucleus home)
  set(target nucleus_${home})
  list(TRANSFORM NUCLEUS_CORE_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/hypercall-emu/ OUTPUT_VARIABLE core)
  add_executable(${target} ${ARGN} ${core})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${NUCLEUS_COMPILE_OPTIONS}>)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME nucleus-${home}.elf)
  # With link-time optimisation, code is made when linking: by the same options.
  target_link_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:${NUCLEUS_COMPILE_OPTIONS}> -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack
    -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments -T ${CMAKE_SOURCE_DIR}/hypercall-emu/nucleus.lds)
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/hypercall-emu/nucleus.lds)
  set(binary ${CMAKE_CURRENT_BINARY_DIR}/nucleus-${home}.bin)
  add_custom_command(OUTPUT ${binary} DEPENDS ${target}
    COMMAND ${CMAKE_OBJCOPY} -O binary $<TARGET_FILE:${target}> ${binary})
  add_custom_target(${target}_binary ALL DEPENDS ${binary})
  set(NUCLEUS_${home}_BINARY ${binary} CACHE INTERNAL "")
endfunction()
