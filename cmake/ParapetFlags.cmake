# SPDX-License-Identifier: Apache-2.0
# Compiler flags of all hosted code, as the interface target `parapet_flags`.
add_library(parapet_flags INTERFACE)
target_include_directories(parapet_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_options(parapet_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror)
if(PARAPET_SANITIZE)
  # GCC's manual: sanitizers make -Wmaybe-uninitialized cry wolf; the ordinary build keeps it.
  target_compile_options(parapet_flags INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer
    -fno-sanitize-recover=all $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(parapet_flags INTERFACE -fsanitize=address,undefined)
endif()
