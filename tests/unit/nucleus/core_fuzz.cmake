# SPDX-License-Identifier: Apache-2.0
# The fuzzer of the whole hosted core (tests/fuzz/core_fuzz*): its corpus is replayed as a unit test by whatever compiler
# builds the tree, and where clang is there libFuzzer runs on from it for PARAPET_FUZZ_SECONDS (label "fuzz").
set(fuzz_dir ${CMAKE_SOURCE_DIR}/tests/fuzz)
set(fuzz_corpus ${fuzz_dir}/core_fuzz.corpus)
set(fuzz_driver)
foreach(part core_fuzz core_fuzz_world core_fuzz_values core_fuzz_memory_calls core_fuzz_grant_calls
    core_fuzz_cpu_calls core_fuzz_instructions core_fuzz_meddler core_fuzz_tlb core_fuzz_check core_fuzz_run)
  list(APPEND fuzz_driver ${fuzz_dir}/${part}.cpp)
endforeach()

add_executable(core_fuzz_replay ${fuzz_dir}/core_fuzz_replay.cpp ${fuzz_driver})
target_link_libraries(core_fuzz_replay PRIVATE parapet_flags parapet_grants
  parapet_fake_machine parapet_nucleus_hosted parapet_fake_machine parapet_nucleus_hosted)
add_test(NAME core_fuzz_replay COMMAND core_fuzz_replay ${fuzz_corpus})
set_tests_properties(core_fuzz_replay PROPERTIES TIMEOUT 300 LABELS unit)

set(PARAPET_FUZZ_SECONDS 60 CACHE STRING "How long a run of the tests fuzzes the core, in seconds")
get_target_property(core_sources parapet_nucleus_hosted SOURCES)
set(core_traced ${core_sources})
list(FILTER core_traced EXCLUDE REGEX "/bytes\\.cpp$") # FakeMachine sees its copies by itself
parapet_add_fuzzer(core_fuzz
  SRCS ${fuzz_driver} ${fuzz_dir}/core_fuzz_mutator.cpp ${core_sources} ${CMAKE_CURRENT_SOURCE_DIR}/fake_machine.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/memory_invariants.cpp ${CMAKE_SOURCE_DIR}/iorings/grants/host_grants.cpp
  TRACE_LOADS ${core_traced}
  LINK_OPTIONS -Wl,--wrap=_ZN7parapet7nucleus10copy_bytesEPvPKvm
  NO_SHORT_RUN)
if(core_fuzz_PROGRAM)
  add_test(NAME core_fuzz_run
    COMMAND ${fuzz_dir}/fuzz_core --build ${CMAKE_BINARY_DIR} --seconds ${PARAPET_FUZZ_SECONDS})
  math(EXPR fuzz_timeout "${PARAPET_FUZZ_SECONDS} + 240")
  set_tests_properties(core_fuzz_run PROPERTIES TIMEOUT ${fuzz_timeout} LABELS fuzz)
endif()
