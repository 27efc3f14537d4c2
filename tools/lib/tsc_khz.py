# SPDX-License-Identifier: Apache-2.0
"""Prints this processor's TSC frequency in kHz, measured. QEMU's emulator hands the TSC through, and a rig that measures it
against emulated timers while the machine is busy gets it wrong by factors."""
import ctypes
import mmap
import time

code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))  # rdtsc; shl $32, %rdx; or %rdx, %rax; ret
rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))


def sample():
    """(width, nanoseconds, ticks) of the least disturbed of some readings."""
    readings = []
    for _ in range(20):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        ticks = rdtsc()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        readings.append((after - before, (before + after) // 2, ticks))
    return min(readings)


_, start_ns, start_ticks = sample()
time.sleep(0.1)
_, end_ns, end_ticks = sample()
print(round((end_ticks - start_ticks) * 1e6 / (end_ns - start_ns)))
