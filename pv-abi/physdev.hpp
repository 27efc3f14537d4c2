// SPDX-License-Identifier: Apache-2.0
// physdev_op: interrupts, I/O privilege and PCI devices.
// Source: xen/include/public/physdev.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned PHYSDEVOP_eoi = 12;
inline constexpr unsigned PHYSDEVOP_pirq_eoi_gmfn_v1 = 17;
inline constexpr unsigned PHYSDEVOP_pirq_eoi_gmfn_v2 = 28;
inline constexpr unsigned PHYSDEVOP_irq_status_query = 5;
inline constexpr unsigned PHYSDEVOP_set_iopl = 6;
inline constexpr unsigned PHYSDEVOP_set_iobitmap = 7;
inline constexpr unsigned PHYSDEVOP_apic_read = 8;
inline constexpr unsigned PHYSDEVOP_apic_write = 9;
inline constexpr unsigned PHYSDEVOP_alloc_irq_vector = 10;
inline constexpr unsigned PHYSDEVOP_free_irq_vector = 11;
inline constexpr unsigned PHYSDEVOP_map_pirq = 13;
inline constexpr unsigned PHYSDEVOP_unmap_pirq = 14;
inline constexpr unsigned PHYSDEVOP_manage_pci_add = 15;
inline constexpr unsigned PHYSDEVOP_manage_pci_remove = 16;
inline constexpr unsigned PHYSDEVOP_restore_msi = 19;
inline constexpr unsigned PHYSDEVOP_manage_pci_add_ext = 20;
inline constexpr unsigned PHYSDEVOP_setup_gsi = 21;
inline constexpr unsigned PHYSDEVOP_get_free_pirq = 23;
inline constexpr unsigned PHYSDEVOP_pci_mmcfg_reserved = 24;
inline constexpr unsigned PHYSDEVOP_pci_device_add = 25;
inline constexpr unsigned PHYSDEVOP_pci_device_remove = 26;
inline constexpr unsigned PHYSDEVOP_restore_msi_ext = 27;
inline constexpr unsigned PHYSDEVOP_prepare_msix = 30;
inline constexpr unsigned PHYSDEVOP_release_msix = 31;
inline constexpr unsigned PHYSDEVOP_dbgp_op = 29;

inline constexpr unsigned PHYSDEVOP_pirq_eoi_gmfn = PHYSDEVOP_pirq_eoi_gmfn_v2;

struct physdev_eoi {
    uint32_t irq;
};
static_assert(sizeof(physdev_eoi) == 4);

template <typename W>
struct physdev_pirq_eoi_gmfn_t {
    W gmfn;
};
using physdev_pirq_eoi_gmfn64 = physdev_pirq_eoi_gmfn_t<uint64_t>;
using physdev_pirq_eoi_gmfn32 = physdev_pirq_eoi_gmfn_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(physdev_pirq_eoi_gmfn64) == 8);
static_assert(sizeof(physdev_pirq_eoi_gmfn32) == 4);

inline constexpr uint32_t XENIRQSTAT_needs_eoi = 1u << 0;
inline constexpr uint32_t XENIRQSTAT_shared = 1u << 1;

struct physdev_irq_status_query {
    uint32_t irq;
    uint32_t flags; // out: XENIRQSTAT_*
};
static_assert(sizeof(physdev_irq_status_query) == 8);

struct physdev_set_iopl {
    uint32_t iopl;
};
static_assert(sizeof(physdev_set_iopl) == 4);

template <typename W>
struct physdev_set_iobitmap_t {
    W bitmap; // guest pointer
    uint32_t nr_ports;
};
using physdev_set_iobitmap64 = physdev_set_iobitmap_t<uint64_t>;
using physdev_set_iobitmap32 = physdev_set_iobitmap_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(physdev_set_iobitmap64) == 16);
static_assert(sizeof(physdev_set_iobitmap32) == 8);

template <typename W>
struct physdev_apic_t {
    W apic_physbase;
    uint32_t reg;
    uint32_t value; // in or out
};
using physdev_apic64 = physdev_apic_t<uint64_t>;
using physdev_apic32 = physdev_apic_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(physdev_apic64) == 16);
static_assert(sizeof(physdev_apic32) == 12);

struct physdev_irq {
    uint32_t irq;
    uint32_t vector; // in or out
};
static_assert(sizeof(physdev_irq) == 8);

inline constexpr int32_t MAP_PIRQ_TYPE_MSI = 0x0;
inline constexpr int32_t MAP_PIRQ_TYPE_GSI = 0x1;
inline constexpr int32_t MAP_PIRQ_TYPE_UNKNOWN = 0x2;
inline constexpr int32_t MAP_PIRQ_TYPE_MSI_SEG = 0x3;
inline constexpr int32_t MAP_PIRQ_TYPE_MULTI_MSI = 0x4;

template <typename W>
struct physdev_map_pirq_t {
    domid_t domid;
    int32_t type; // MAP_PIRQ_TYPE_*
    int32_t index;
    int32_t pirq; // in or out
    int32_t bus;
    int32_t devfn;
    int32_t entry_nr;
    u64_field<W> table_base;
};
using physdev_map_pirq64 = physdev_map_pirq_t<uint64_t>;
using physdev_map_pirq32 = physdev_map_pirq_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(physdev_map_pirq64) == 40);
static_assert(sizeof(physdev_map_pirq32) == 36);

struct physdev_unmap_pirq {
    domid_t domid;
    int32_t pirq;
};
static_assert(sizeof(physdev_unmap_pirq) == 8);

struct physdev_manage_pci {
    uint8_t bus;
    uint8_t devfn;
};
static_assert(sizeof(physdev_manage_pci) == 2);

struct physdev_restore_msi {
    uint8_t bus;
    uint8_t devfn;
};
static_assert(sizeof(physdev_restore_msi) == 2);

struct physdev_manage_pci_ext {
    uint8_t bus;
    uint8_t devfn;
    uint32_t is_extfn;
    uint32_t is_virtfn;
    struct {
        uint8_t bus;
        uint8_t devfn;
    } physfn;
};
static_assert(sizeof(physdev_manage_pci_ext) == 16);

// Argument of the old HYPERVISOR_physdev_op_compat.
template <typename W>
struct physdev_op_t {
    uint32_t cmd; // PHYSDEVOP_*
    union {
        physdev_irq_status_query irq_status_query;
        physdev_set_iopl set_iopl;
        physdev_set_iobitmap_t<W> set_iobitmap;
        physdev_apic_t<W> apic_op;
        physdev_irq irq_op;
    } u;
};
using physdev_op64 = physdev_op_t<uint64_t>;
using physdev_op32 = physdev_op_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(physdev_op64) == 24);
static_assert(sizeof(physdev_op32) == 16);

inline constexpr uint32_t PHYSDEVOP_IRQ_UNMASK_NOTIFY = 4;

struct physdev_setup_gsi {
    int32_t gsi;
    uint8_t triggering;
    uint8_t polarity;
};
static_assert(sizeof(physdev_setup_gsi) == 8);

struct physdev_get_free_pirq {
    int32_t type;  // MAP_PIRQ_TYPE_*
    uint32_t pirq; // out
};
static_assert(sizeof(physdev_get_free_pirq) == 8);

inline constexpr uint32_t XEN_PCI_MMCFG_RESERVED = 0x1;
inline constexpr uint32_t XEN_PCI_DEV_EXTFN = 0x1;
inline constexpr uint32_t XEN_PCI_DEV_VIRTFN = 0x2;
inline constexpr uint32_t XEN_PCI_DEV_PXM = 0x4;

struct physdev_pci_mmcfg_reserved {
    uint64_t address;
    uint16_t segment;
    uint8_t start_bus;
    uint8_t end_bus;
    uint32_t flags; // XEN_PCI_MMCFG_*
};
static_assert(sizeof(physdev_pci_mmcfg_reserved) == 16);

struct physdev_pci_device_add {
    uint16_t seg;
    uint8_t bus;
    uint8_t devfn;
    uint32_t flags; // XEN_PCI_DEV_*
    struct {
        uint8_t bus;
        uint8_t devfn;
    } physfn;
    // uint32_t optarr[]; [0] with XEN_PCI_DEV_PXM: the proximity domain
};
static_assert(sizeof(physdev_pci_device_add) == 12);

struct physdev_pci_device {
    uint16_t seg;
    uint8_t bus;
    uint8_t devfn;
};
static_assert(sizeof(physdev_pci_device) == 4);

inline constexpr uint8_t PHYSDEVOP_DBGP_RESET_PREPARE = 1;
inline constexpr uint8_t PHYSDEVOP_DBGP_RESET_DONE = 2;
inline constexpr uint8_t PHYSDEVOP_DBGP_BUS_UNKNOWN = 0;
inline constexpr uint8_t PHYSDEVOP_DBGP_BUS_PCI = 1;

struct physdev_dbgp_op {
    uint8_t op;  // PHYSDEVOP_DBGP_RESET_*
    uint8_t bus; // PHYSDEVOP_DBGP_BUS_*
    union {
        physdev_pci_device pci;
    } u;
};
static_assert(sizeof(physdev_dbgp_op) == 6);

} // namespace parapet::abi
