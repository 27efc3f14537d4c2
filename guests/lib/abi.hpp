// SPDX-License-Identifier: Apache-2.0
// The PV ABI as the guests see it: Xen's own public headers, so that the guests do not share a mistake with pv-abi/.
#pragma once

#include <cstddef>
#include <cstdint>

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/callback.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
// clang-format off
#define xen_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST) // NOLINT: what io/ring.h wants from whoever includes it
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE) // NOLINT
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE) // NOLINT
// clang-format on
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/netif.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/xen.h>
