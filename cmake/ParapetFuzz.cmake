# SPDX-License-Identifier: Apache-2.0
# parapet_add_fuzzer(NAME SRCS file... [TRACE_LOADS file...] [LINK_OPTIONS option...] [NO_SHORT_RUN]): a libFuzzer program
# under ASan and UBSan, which clang builds: the whole build's compiler with -DPARAPET_FUZZ=ON, or beside g++ where clang
# is installed. A short run, always the same, is the test NAME_short. The loads of the sources after TRACE_LOADS (which are
# among SRCS) are reported to the program, as -fsanitize-coverage=trace-loads has it. With NO_SHORT_RUN the caller adds its
# own test of ${NAME_PROGRAM}, which is empty where nothing is built.
option(PARAPET_FUZZ "Build libFuzzer targets (clang only)" OFF)
find_program(PARAPET_FUZZ_CXX NAMES clang++-14 clang++)
# Its run-time library is a package of its own (libclang-rt-14-dev).
if(PARAPET_FUZZ_CXX)
  execute_process(COMMAND ${PARAPET_FUZZ_CXX} -print-file-name=lib/linux/libclang_rt.fuzzer-x86_64.a
    OUTPUT_VARIABLE PARAPET_FUZZ_RUNTIME OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()

function(parapet_add_fuzzer name)
  cmake_parse_arguments(arg "NO_SHORT_RUN" "" "SRCS;TRACE_LOADS;LINK_OPTIONS" ${ARGN})
  set(${name}_PROGRAM "" PARENT_SCOPE)
  set(flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all)
  set(program ${CMAKE_CURRENT_BINARY_DIR}/${name}.program) # the target has the plain name
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    if(NOT PARAPET_FUZZ)
      return()
    endif()
    add_executable(${name} ${arg_SRCS})
    set(program ${name})
    target_link_libraries(${name} PRIVATE parapet_flags)
    target_compile_options(${name} PRIVATE ${flags})
    target_link_options(${name} PRIVATE ${flags} ${arg_LINK_OPTIONS})
    if(arg_TRACE_LOADS)
      set_source_files_properties(${arg_TRACE_LOADS} PROPERTIES COMPILE_OPTIONS -fsanitize-coverage=trace-loads)
    endif()
  elseif(EXISTS "${PARAPET_FUZZ_RUNTIME}" AND NOT PARAPET_SANITIZE)
    set(objects)
    foreach(source ${arg_SRCS})
      cmake_path(GET source STEM stem)
      set(trace)
      if(source IN_LIST arg_TRACE_LOADS)
        set(trace -fsanitize-coverage=trace-loads)
      endif()
      set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}_${stem}.o)
      add_custom_command(OUTPUT ${object}
        COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${PARAPET_FUZZ_CXX} -std=c++20 -O1 -g1 ${flags} ${trace} -I${CMAKE_SOURCE_DIR}
          -MD -MF ${object}.d -c ${source} -o ${object}
        DEPENDS ${source} DEPFILE ${object}.d VERBATIM)
      list(APPEND objects ${object})
    endforeach()
    add_custom_command(OUTPUT ${program} COMMAND ${PARAPET_FUZZ_CXX} ${flags} ${arg_LINK_OPTIONS} ${objects} -o ${program}
      DEPENDS ${objects} VERBATIM)
    add_custom_target(${name} ALL DEPENDS ${program})
  else()
    return()
  endif()
  set(${name}_PROGRAM ${program} PARENT_SCOPE)
  if(arg_NO_SHORT_RUN)
    return()
  endif()
  add_test(NAME ${name}_short COMMAND ${program} -runs=20000 -seed=1 -max_len=2048 -verbosity=0
    -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/)
  set_tests_properties(${name}_short PROPERTIES TIMEOUT 120 LABELS unit)
endfunction()
