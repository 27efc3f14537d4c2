// SPDX-License-Identifier: Apache-2.0
// physdev_op for a domain without devices of its own: I/O privilege is kept for show, interrupts do not exist.
#include "pv-abi/physdev.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/refusals.hpp"

namespace parapet::nucleus {
namespace {

constexpr u32 NR_PIRQS = 256;
constexpr u32 NR_IO_PORTS = 65536;

Status set_iopl(Vcpu& vcpu, GuestVa arg) {
    abi::physdev_set_iopl op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.iopl > 3)
        return -abi::XEN_EINVAL;
    vcpu.iopl = op.iopl;
    return 0;
}

Status set_iobitmap(Vcpu& vcpu, GuestVa arg) {
    abi::physdev_set_iobitmap64 op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.nr_ports > NR_IO_PORTS || !is_guest_va(op.bitmap))
        return -abi::XEN_EINVAL;
    vcpu.io_bitmap_va = op.bitmap;
    vcpu.io_bitmap_ports = op.nr_ports;
    return 0;
}

Status irq_status_query(Vcpu& vcpu, GuestVa arg) {
    abi::physdev_irq_status_query op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.irq >= NR_PIRQS)
        return -abi::XEN_EINVAL;
    op.flags = abi::XENIRQSTAT_needs_eoi;
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

/// A page in which we would say which interrupts need an EOI: none ever does. Its reference is kept for good.
Status pirq_eoi_page(Vcpu& vcpu, GuestVa arg) {
    abi::physdev_pirq_eoi_gmfn64 op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    Domain& domain = *vcpu.domain;
    const Mfn mfn{op.gmfn};
    if (!domain.frames.domain_owns(mfn))
        return -abi::XEN_EINVAL;
    if (domain.has_pirq_eoi_page)
        return -abi::XEN_EBUSY;
    if (acquire_type(vcpu, mfn, FrameType::writable) != 0)
        return -abi::XEN_EINVAL;
    domain.has_pirq_eoi_page = true;
    return 0;
}

Status physdev_op(Vcpu& vcpu, u64 command, GuestVa arg) {
    constexpr u64 IRQ_UNMASK_NOTIFY = 4; // of before Xen 3.2.2: what is masked for nobody is unmasked
    switch (command) {
    case abi::PHYSDEVOP_set_iopl:
        return set_iopl(vcpu, arg);
    case abi::PHYSDEVOP_set_iobitmap:
        return set_iobitmap(vcpu, arg);
    case abi::PHYSDEVOP_irq_status_query:
        return irq_status_query(vcpu, arg);
    case abi::PHYSDEVOP_eoi:
        return refuse<abi::physdev_eoi>(vcpu, arg, -abi::XEN_EINVAL); // no interrupt is bound
    case abi::PHYSDEVOP_pirq_eoi_gmfn_v1:
    case abi::PHYSDEVOP_pirq_eoi_gmfn_v2:
        return pirq_eoi_page(vcpu, arg);
    case IRQ_UNMASK_NOTIFY:
        return 0;
    case abi::PHYSDEVOP_get_free_pirq:
        return refuse<abi::physdev_get_free_pirq>(vcpu, arg, -abi::XEN_ENOSPC);
    case abi::PHYSDEVOP_map_pirq: // interrupts are not the guest's to map
        return refuse_for_domain<abi::physdev_map_pirq64>(vcpu, arg, -abi::XEN_EPERM);
    case abi::PHYSDEVOP_unmap_pirq:
        return refuse_for_domain<abi::physdev_unmap_pirq>(vcpu, arg, -abi::XEN_EPERM);
    case abi::PHYSDEVOP_apic_read:
    case abi::PHYSDEVOP_apic_write:
        return refuse<abi::physdev_apic64>(vcpu, arg);
    case abi::PHYSDEVOP_alloc_irq_vector:
        return refuse<abi::physdev_irq>(vcpu, arg);
    case abi::PHYSDEVOP_manage_pci_add:
    case abi::PHYSDEVOP_manage_pci_remove:
        return refuse<abi::physdev_manage_pci>(vcpu, arg);
    case abi::PHYSDEVOP_manage_pci_add_ext:
        return refuse<abi::physdev_manage_pci_ext>(vcpu, arg);
    case abi::PHYSDEVOP_restore_msi:
        return refuse<abi::physdev_restore_msi>(vcpu, arg);
    case abi::PHYSDEVOP_setup_gsi:
        return refuse<abi::physdev_setup_gsi>(vcpu, arg);
    case abi::PHYSDEVOP_pci_device_add:
        return refuse<abi::physdev_pci_device_add>(vcpu, arg);
    case abi::PHYSDEVOP_pci_device_remove:
    case abi::PHYSDEVOP_restore_msi_ext:
    case abi::PHYSDEVOP_prepare_msix:
    case abi::PHYSDEVOP_release_msix:
        return refuse<abi::physdev_pci_device>(vcpu, arg);
    case abi::PHYSDEVOP_pci_mmcfg_reserved:
    case abi::PHYSDEVOP_dbgp_op:
        return -abi::XEN_EPERM;
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace

Status do_physdev_op(Vcpu& vcpu, const HypercallArgs& args) {
    return physdev_op(vcpu, static_cast<u32>(args.a[0]), {args.a[1]});
}

/// The old form: command and argument in one structure.
Status do_physdev_op_compat(Vcpu& vcpu, const HypercallArgs& args) {
    u32 command = 0;
    if (!get(vcpu, command, {args.a[0]}))
        return -abi::XEN_EFAULT;
    return physdev_op(vcpu, command, GuestVa{args.a[0]} + offsetof(abi::physdev_op64, u));
}

} // namespace parapet::nucleus
