# SPDX-License-Identifier: Apache-2.0
# parapet_link_statically(TARGET): without shared libraries, whose pages would be the largest part of a domain's overhead
# (5.3 MB resident against 3.0). A build folder that remembers shared libraries goes on with them.
option(PARAPET_STATIC "Link the parapet command statically" ON)
if(PARAPET_STATIC AND NOT PARAPET_SANITIZE)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
  set(Boost_USE_STATIC_LIBS ON)
endif()
function(parapet_link_statically target)
  if(PARAPET_STATIC AND NOT PARAPET_SANITIZE AND ZLIB_LIBRARY_RELEASE MATCHES "[.]a$")
    target_link_options(${target} PRIVATE -static)
  endif()
endfunction()
