# SPDX-License-Identifier: Apache-2.0
# Sources of the nucleus core, relative to hypercall-emu/: for the nucleus image and for the hosted library alike.
set(NUCLEUS_CORE_SOURCES
  core/control_registers.cpp
  core/cpuid.cpp
  core/decode.cpp
  core/emulate.cpp
  core/instruction.cpp
  core/msr.cpp
  core/port_io.cpp
  core/software_interrupt.cpp
  core/alu.cpp
  core/store.cpp
  core/page_table_trap.cpp
)
