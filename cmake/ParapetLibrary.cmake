# SPDX-License-Identifier: Apache-2.0
# parapet_add_library(NAME LIBS target...): a static library of all sources in the folder (a header-only one has none).
function(parapet_add_library name)
  cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC parapet_support ${arg_LIBS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE parapet_support ${arg_LIBS})
  endif()
endfunction()
