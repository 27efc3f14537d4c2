# SPDX-License-Identifier: Apache-2.0
# parapet_add_test(NAME SRCS file... [LIBS target...] [TIMEOUT seconds]): a GoogleTest program run as one CTest test.
find_package(GTest REQUIRED)
function(parapet_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SRCS;LIBS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SRCS})
  target_link_libraries(${name} PRIVATE parapet_flags ${arg_LIBS} GTest::gtest GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS unit)
endfunction()
